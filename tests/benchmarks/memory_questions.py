"""Our own questions about the past: two long conversations, in English and in Chinese, with 20 questions each.

A session has the day that it was held on, and turns of the user and the assistant. A question has pieces of the turns
that answer it; each piece is in one turn. Among them are paraphrases, denials, names that are written otherwise,
identifiers, numbers and dates.
"""

# Chinese punctuation

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple


class Turn(NamedTuple):
    """One turn of a conversation."""

    session: str
    id: str
    author: str
    text: str
    time: datetime


class Conversation(NamedTuple):
    """What one user said and was told, and questions with the ids of the turns that answer them."""

    turns: list[Turn]
    questions: list[tuple[str, list[str]]]


_ENGLISH = """
# 2026-03-02
Hi! I am Marta, and I just moved to Gdańsk for a new job.
Welcome, Marta! What will you be working on?
I write software for ferries. Mostly scheduling, some maps.
That sounds interesting. How do you like the city so far?
The old town is lovely. My flat is small, though, and the neighbours play the trumpet.
You could ask them which hours they practise.
Good idea. Do you know a quiet café where I could read?
Try Drukarnia on Mariacka Street; it is calm in the mornings.
# 2026-03-09
The build broke after I renamed resolveTerminalPath.
Where is it called from?
From the launcher and from a test. The error is ENOENT on startup.
Search for the old name in launcher/main.go; the import there was probably not updated.
That was it, thanks. The launcher had its own copy.
Glad to hear it. You may want a lint rule against copies.
What would be a good retry policy for port 8443?
Three attempts with exponential backoff, beginning at 200 milliseconds.
# 2026-03-15
I am planning a birthday dinner for my sister.
How lovely! How many guests will there be?
About nine, if our cousin from Oslo comes.
Is there anything that they cannot eat?
Ingrid is allergic to hazelnuts, and two are vegetarians.
Then I would make a mushroom risotto and a lemon tart.
She loves lemon. What could I give her?
Since she paints, a set of watercolours or a visit to a printmaking workshop.
# 2026-03-28
I went to the dentist today and I am still numb.
I am sorry! Was it anything serious?
They pulled a wisdom tooth. No solid food until Monday.
Soup, yoghurt and mashed potatoes should be fine.
My doctor also says that my blood pressure is too high.
Less salt and regular walks help many people; did they prescribe something?
Five milligrams of ramipril, once a day.
Take it at the same hour each day, and write down your readings.
# 2026-04-11
We decided to use PostgreSQL for the timetable service, not MongoDB.
Sensible: the data is relational. What about caching?
No Redis for now. We keep it in memory, with a limit of 64 megabytes.
And who is responsible for the migration?
Piotr is, together with the people of the harbour office.
Then agree on a freeze of the schema two weeks before.
The freeze begins on the twentieth.
Noted. Remind the harbour office a week ahead.
# 2026-04-19
I finally tried sea kayaking near Hel.
Wonderful! Were you alone?
With Zbyszek from work. He capsized twice and laughed about it.
Did you see any seals?
Three of them, on a sandbank. They did not mind us at all.
The colony there has grown in recent years.
My shoulders ache. I should have stretched.
Warm compresses, and a rest day before you paddle again.
# 2026-05-03
I do not drink coffee any more; it kept me awake.
What do you have instead?
Rooibos in the morning, and once in a while a cocoa.
Then your sleep should be better within two weeks.
It is already. I dreamt of my grandmother's house in Kaunas.
A nice dream? Tell me about the house.
It had a green stove and a plum tree that never bore fruit.
It sounds like a place to write about.
# 2026-05-17
The invoice 2026-0417 was paid twice by mistake.
By whom, and for which amount?
By the agency in Malmö: 1,280 euros, two days in a row.
Ask them whether to refund it or to set it off against the next invoice.
They prefer a refund. My account at the credit union is new.
Send them the IBAN by letter or through their portal, not by mail.
Also, I want to learn Kashubian. Is there a course?
The university offers an evening course from October on.
"""
_ENGLISH_QUESTIONS = [
    ("What is my name?", ["I am Marta"]),
    ("Which café did you recommend to me?", ["Try Drukarnia"]),
    ("Who disturbs me at home, and with which instrument?", ["play the trumpet"]),
    ("What went wrong when I renamed resolveTerminalPath?", ["ENOENT on startup", "the import there"]),
    ("where is ResolveTerminalPath called", ["From the launcher and"]),
    ("How should we retry on port 8443?", ["exponential backoff"]),
    ("How many people are coming to the dinner?", ["About nine"]),
    ("What must my sister not eat?", ["allergic to hazelnuts"]),
    ("What presents did you suggest for Ingrid's birthday?", ["a set of watercolours"]),
    ("Which medicine was I prescribed for my blood pressure?", ["milligrams of ramipril"]),
    ("What happened at the dentist's on March 28th?", ["a wisdom tooth", "still numb"]),
    ("Did we choose MongoDB for the timetables?", ["PostgreSQL for the timetable"]),
    ("Why don't we use Redis for caching?", ["No Redis for now"]),
    ("Who takes care of migrating?", ["Piotr is, together"]),
    ("Whom did I go kayaking with?", ["With Zbyszek"]),
    ("How many seals did we see at the sandbank?", ["Three of them"]),
    ("I don't drink coffee, right? What do I drink?", ["do not drink coffee", "Rooibos in the morning"]),
    ("What did my dream in May look like?", ["a green stove", "grandmother's house"]),
    ("Who paid invoice 2026-0417 twice?", ["agency in Malmö"]),
    ("When does the Kashubian evening course at the university start?", ["evening course from October"]),
]
_CHINESE = """
# 2026-03-02
你好，我叫林晓雨，刚搬到青岛工作。
欢迎你，晓雨！你做什么工作呢？
我在一家造船公司写调度程序。
听起来很有意思。你喜欢这座城市吗？
喜欢海边，但是楼上的邻居每天练小号。
可以问问他们什么时间练习。
有没有适合看书的安静咖啡馆？
可以去大学路的“半山书屋”，上午人很少。
# 2026-03-09
我把 resolveTerminalPath 改名以后，构建失败了。
它是从哪里调用的？
启动器和一个测试里，启动时报 ENOENT。
在 launcher/main.go 里搜索旧名字，那里的导入可能没有改。
果然是这样，谢谢。
不客气，可以加一条检查规则。
8443 端口的重试策略怎么定比较好？
重试三次，从两百毫秒开始指数退避。
# 2026-03-15
我在准备妹妹的生日晚餐。
真好！会来多少客人？
大概九位，如果表哥能从大连赶过来的话。
有没有人忌口？
英子对榛子过敏，还有两位吃素。
那可以做蘑菇烩饭和柠檬挞。
她最爱柠檬了。送她什么好呢？
她喜欢画画，可以送一套水彩，或者一次版画体验课。
# 2026-03-28
今天去看了牙医，嘴还是麻的。
严重吗？
拔了一颗智齿，周一之前不能吃硬的。
可以喝粥、酸奶和土豆泥。
医生还说我血压偏高。
少吃盐，多散步。开药了吗？
开了雷米普利，每天五毫克。
每天固定时间吃，并且记录血压。
# 2026-04-11
我们决定时刻表服务用 PostgreSQL，不用 MongoDB。
很合理，数据是关系型的。缓存呢？
暂时不用 Redis，放在内存里，上限六十四兆。
谁负责迁移？
由老彭负责，港务局的同事协助。
那么提前两周冻结表结构吧。
冻结从二十号开始。
好的，提前一周提醒港务局。
# 2026-04-19
我终于在崂山附近试了皮划艇。
太棒了！一个人去的吗？
和同事志强一起，他翻了两次还哈哈大笑。
看到海豹了吗？
看到三只，趴在沙洲上，一点也不怕人。
近几年那里的数量增加了。
现在肩膀很酸，应该先拉伸的。
可以热敷，休息一天再划。
# 2026-05-03
我已经不喝咖啡了，喝了睡不着。
那你改喝什么？
早上喝博士茶，偶尔来一杯可可。
两周之内睡眠就会改善。
已经好多了，我梦见了外婆在烟台的老房子。
是个美梦吗？
院子里有绿色的炉子，还有一棵从不结果的李子树。
听起来值得写下来。
# 2026-05-17
发票 2026-0417 被误付了两次。
是谁付的，多少钱？
厦门的代理公司，一千二百八十元，连续两天。
问问他们是要退款，还是抵下一张发票。
他们要退款，不过我的信用社账户是新开的。
账号请用信件或者他们的平台发送，不要用邮件。
另外我想学闽南语，有课程吗？
大学十月开始有晚间班。
"""
_CHINESE_QUESTIONS = [
    ("你还记得我的名字吗？", ["我叫林晓雨"]),
    ("你给我推荐过哪家咖啡馆？", ["半山书屋"]),
    ("谁在家里吵我，练的是什么乐器？", ["每天练小号"]),
    ("resolveTerminalPath 改名后出了什么问题？", ["启动时报 ENOENT", "搜索旧名字"]),
    ("ResolveTerminalPath 在哪里调用？", ["启动器和一个测试"]),
    ("8443端口应该怎么重试？", ["指数退避"]),
    ("晚餐会来多少人？", ["大概九位"]),
    ("我妹妹不能吃什么？", ["对榛子过敏"]),
    ("你建议给英子送什么生日礼物？", ["送一套水彩"]),
    ("医生给我开了什么降血压的药？", ["开了雷米普利"]),
    ("3月28日我在牙医那里怎么了？", ["拔了一颗智齿", "嘴还是麻的"]),
    ("时刻表我们选了 MongoDB 吗？", ["时刻表服务用 PostgreSQL"]),
    ("为什么缓存没有用 Redis？", ["暂时不用 Redis"]),
    ("数据迁移是由谁来负责的？", ["由老彭负责"]),
    ("我和谁一起去划的皮划艇？", ["和同事志强"]),
    ("在沙洲上看见了几只海豹？", ["看到三只"]),
    ("我不喝咖啡，对吗？现在喝什么？", ["已经不喝咖啡", "早上喝博士茶"]),
    ("五月份我做了什么样的梦？", ["梦见了外婆", "绿色的炉子"]),
    ("发票 2026-0417 是谁付了两次？", ["厦门的代理公司"]),
    ("闽南语的晚间班什么时候开始？", ["大学十月开始"]),
]


def conversations() -> dict[str, Conversation]:
    """The two conversations, by language."""
    return {
        "en": _conversation(_ENGLISH, _ENGLISH_QUESTIONS),
        "zh": _conversation(_CHINESE, _CHINESE_QUESTIONS),
    }


def _conversation(text: str, questions: list[tuple[str, list[str]]]) -> Conversation:
    turns: list[Turn] = []
    day = ""
    for line in text.strip().splitlines():
        if line.startswith("# "):
            day = line[2:]
            number = 0
        else:
            number += 1
            author = "user" if number % 2 else "assistant"
            turns.append(Turn(day, f"{day}-{number}", author, line, datetime.fromisoformat(day).replace(tzinfo=UTC)))
    asked = []
    for question, pieces in questions:
        ids = [turn.id for piece in pieces for turn in turns if piece in turn.text]
        if len(ids) != len(pieces):
            raise AssertionError(f"each piece has to be in one turn: {pieces}")
        asked.append((question, ids))
    return Conversation(turns, asked)
