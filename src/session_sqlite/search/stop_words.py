# ruff: noqa: RUF001  # Cyrillic words look like Latin ones
"""Words that questions are made of and that say nothing about what is asked: a short list a language.

The lists are folded (see `words.fold`). A word of one language may mean something in another (*war*, *son*), so a
question is taken to be in the language that most of its words are on the list of, English if there are several. In
Chinese, Japanese and Korean each character is a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LISTS: Final = {
    "English": """
        a about all also am an and any are as at be been being but by can could d did do does doing don done
        down for from had has have having he her hers him his how i if in into is it its just ll m me my no nor
        not of on or our ours out over own re s she should so some such t than that the their theirs them then
        there these they this those to too under until up ve very was we were what when where which while who
        whom whose why will with would you your yours
        """,
    "German": """
        aber als am an auf aus bei bin bist da das dass dein deine dem den der des dich die dir doch du ein eine
        einem einen einer er es euch fur habe haben hast hat hatte hatten ich ihm ihn ihr ihre im in ist ja kann
        mein meine meinem meinen meiner mich mir mit nach nicht noch nur oder ob sein seine sich sie sind so
        uber um und uns unser unsere vom von vor war waren warum was welche welchem welchen welcher welches wem
        wen wenn wer werden wie wir wird wo wurde zu zum zur
        """,
    "French": """
        a ai as au aux avait avec avez avons c ce ces cet cette comment d dans de des du elle elles en est et
        etait ete etes eu il ils j je l la le les leur lui m ma mais me mes moi mon n ne nos notre nous on ont
        ou par pas pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa se ses si son sont suis
        sur t ta te tes toi ton tu un une vos votre vous y
        """,
    "Spanish": """
        a al como con cual cuales cuando de del donde el ella ellas ellos en era eran eres es esa ese eso esta
        estaba este esto fue ha habia han has he la las le les lo los me mi mis nos o para pero por porque que
        quien quienes se ser si sin sobre son soy su sus te tu tus un una unas unos y yo
        """,
    "Portuguese": """
        a ao as com como da das de do dos e ela elas ele eles em era essa esse esta este eu foi isso ja mas me
        meu meus minha minhas na nao nas no nos o onde os ou para pela pelo por porque quais qual quando que
        quem se seu sua te um uma voce
        """,
    "Italian": """
        a ai al alla che chi ci come con cosa da dal dalla dei del della delle di dove e era gli ha hai ho i il
        in io la le lo ma mi mia mio ne nel nella non o per perche quale quali quando se sei si sono su sua suo
        ti tu tua tuo un una
        """,
    "Russian": """
        а без был была были было быть в вас во вот вы где да для его ее если есть еще же за и из или их к как
        какая какие какой когда кто ли мне мой моя мы на наш не нет но о об он она они от по почему при про с со
        так такое там тебе то только ты у уже чего чем что чтобы это я
        """,
}
_CHINESE: Final = (
    "的了吗呢吧啊我你他她它们是在有和就都也还这那个什么怎哪谁几多少与及或过曾经给您"
    "嗎們這個麼誰幾與過經給還"  # traditional
)
_JAPANESE: Final = "はがをにでとものかへやてたしすまいなるれさよねだえんう何私僕君誰"
_KOREAN: Final = "은는이가을를에의도와과로고다요까니나너내네제저했었"

# Words for talking and doing: beside the words of a time they ask for whatever was said then.
_SAYING_IN_WORDS: Final = """
    conversation conversations chat chats chatted chatting discuss discussed discussing discussion discussions talk
    talked talking speak spoke spoken say said saying tell told mention mentioned do done doing happen happened work
    worked working anything everything something thing things topic topics remind remember recall summarize summary
    recap besprochen gesprochen geredet gesagt gemacht getan passiert gearbeitet alles parle parles discute dit dits
    fait faits passe travaille hablamos hablado dijimos dicho hicimos hecho paso trabajamos
    """
_SAYING_IN_CHARACTERS: Final = "聊说說谈談讲講做讨討论論干事情话話题題天提到发發生内容工作言会이야기얘말대화"
_SAYING: Final = frozenset((*_SAYING_IN_WORDS.split(), *_SAYING_IN_CHARACTERS))

LANGUAGES: Final = tuple(_LISTS)
_WORDS: Final = {language: frozenset(text.split()) for language, text in _LISTS.items()}
_CHARACTERS: Final = {language: frozenset(text) for language, text in (
    ("Chinese", _CHINESE), ("Japanese", _JAPANESE), ("Korean", _KOREAN),
)}  # fmt: skip
_FIRST_KANA, _LAST_KANA = "\u3041", "\u30ff"
_FIRST_HANGUL, _LAST_HANGUL = "\uac00", "\ud7a3"


def language_of(words: Iterable[str]) -> str:
    """Returns the language, among `LANGUAGES`, that most of the words of a question are on the list of."""
    words = list(words)
    return max(_WORDS, key=lambda language: sum(word in _WORDS[language] for word in words))


def with_meaning(words: Iterable[str]) -> list[str]:
    """Returns the words of a question that mean something by themselves, in order.

    Example:
        >>> with_meaning("what did my son say about the war".split())
        ['son', 'say', 'war']
        >>> with_meaning("was hat mein sohn gesagt".split())
        ['sohn', 'gesagt']
        >>> "".join(with_meaning("你给我推荐过哪些画家"))
        '推荐些画家'
    """
    words = list(words)
    spoken = _WORDS[language_of(words)]
    if any(_FIRST_KANA <= word <= _LAST_KANA for word in words):
        written = _CHARACTERS["Japanese"]
    elif any(_FIRST_HANGUL <= word <= _LAST_HANGUL for word in words):
        written = _CHARACTERS["Korean"]
    else:
        written = _CHARACTERS["Chinese"]
    return [word for word in words if word not in spoken and word not in written]


def asks_for_anything(words: Iterable[str]) -> bool:
    """Returns True if no word of a question means more than that something was said or done.

    Example:
        >>> asks_for_anything("what did we talk about".split()), asks_for_anything("我们聊了什么")
        (True, True)
        >>> asks_for_anything("what did we say about tea".split())
        False
    """
    return all(word in _SAYING for word in with_meaning(words))
