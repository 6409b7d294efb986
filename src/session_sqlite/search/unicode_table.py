"""The Unicode table that search folds and divides text by: version 14.0, whatever Python runs.

Python's own tables grow with its versions, and an index that one version wrote could not be read or emptied by
another: a character that is unknown to one is a letter to the next. Each code point has one of four classes: ``w``
letters, marks and numbers, ``s`` other symbols (emoji among them), ``o`` what separates words, ``u`` not assigned in
Unicode 14.0, which separates words too. A test compares it with `unicodedata` where that is of the same version.

Normalisation and case folding are Python's own: Unicode never changes them for what is assigned.
"""

import base64
import bisect
import functools
import zlib
from typing import Final

VERSION: Final = "14.0.0"

# Runs of code points, as the hexadecimal distance from the start of the run before and the class.
_RUNS: Final = (
    "c-"
    "oa%N3!cU47`$<rSfSMw_d1R@A`vA12p|Sf5L{6C=x_$0GytWH2pl*=cD~Rf;=i8al0Qu9y0#mCFy72`16QQpZE8~na0P($1are&trc+&Ywr&"
    "8NM^fqZLwnJ>t(J^Un(}(HEwdO=8UYC_HN3l(+TJ$yi^uNd$<?Q)%AH8~-"
    "2uT<19Yd9#e$3yfynw+Xv9sL4x_NeWRbkEIsmV5%nFcJBFdmN#XkmKUT>^)@{P=TOEdtL6NQa_z4-"
    "qq14f46~A|N>f;>WCQ1u06zlNGb?3kF;tyut~WV2>yKqvlqs~z9H~^D-<5W~2P-+>JgNGY-zUY-F}lslupzxn4NW-"
    "+{vIY3e)U6^*I@bYL&)knEJ}Xh<-"
    ")G2wdNcDMNK2!QB6rnq%Sqm^i5fgu9xJ;WPOi=<3^uJu7q7_md{<3q3S4}bKH+gXH%CrMy;56CucbfWSSq|)e^f}<gePasRWF;`J3?isgQ5#"
    ")z8R-F=XcW<TIt=qul0k#x_F7e7qk|9ff)D1M=V8ce3vYZqusg#~+KKU5KqOlZ`k;Z;0j7DuwU!h%ikFm0_y7fTlzNOEHN+(B+5-"
    ")81;fOh_0<g$`3sru2q$u}{j<SvORD7coRtx$~Tf%9)rHyY$6%6E{-"
    "K$6%5+$iSJnj3412*Akf0xFge@MDm4D40}vBgcI%x^;BODu66GyVh>sYc(f@VZVZ0e0)kcl8tMJhjiSz!Oc;H>5oLAj%kIr{&_;$9`YQ1>R}"
    "I!cxfp#I)g==ld3M_irN||L2M7(oeC$vSJs5T$x@#L4VUn|aB&!lsc&Ow^vo{!7?gw)eVi9PpLZw-mDM|^*K&*dDLjBK*-"
    "V`=Al`n?3{(Cay_~GB<c#$5Ry$uOH`Ap9p%tP`iSu_plpizdWCOdhoZkVc4Ab;w*gGwes>w{VIRwdtWOr`r1Eb6aNB4p{f-"
    "BvIZ!phT#a7_|gQ4v7?6)j@&(@Fc-2(8!C%Y<Iw05c}>UfAT;aE-"
    "cL#$roOd58(4ERkfHA*6hYfr2oUWN$v<(lW(k76OH6Wfr+E{kmqYiUPt~@@|$;3X^2QILTW=N-WBlP=S%b<)rvfB}h){M?9mb=U7$ojSX-qt"
    "GYC)0PYr#`2RjeFm~~rN!dampgLTYCq$cweSiVc{;t}mt;FyvcieA8E^4kqdk~GQV|aAmE-"
    "Z2~J$&P`^JTWq8c50w5d&ak0S;#pVP~FrD{6y@re7fg#Ft&x<E_;B&;U<ObrVn4pVL9S5n%#?GkGq7R+2_Isx+awuxx7j$P@Yfm1$;{g4v6*"
    "+PzMpBSBvp*O_!Xx}g+Iy&N_}XRT5Ve-NfJe|Y_9^|N6(g*tm0qrWuGTX`|gOyZ{@;OgMf$6r2UDd*Jq7kX_Q3VHG!x7F;@bV;(xUYs1UL53"
    "<gs!Da&lZzIi!STO*R#APdScGY%wXso|sC@X3aNJb2u>9_68UmV9A!=g9&PVo&3`Irj1^E+*_0=71%rEInO;+X7_X&>rlGV*u?W3rqoszLM2"
    "x*XwxD5RuHE$Z?R)f+{7i8vJ8z>Pw=^6Y3f#L24`<mGOBN2K7(;D0dnfC0FRrqD?5p}^91Vtbc);XFscQToY6F$^^a&s|$71)0}pJ5ks(!eY"
    "|(<upNarIg-7gw?Q!#)(()?780AzZy$nsqn2+_#zw(~vc-tLhm3IT0~4%Me&I4qHAd<-"
    "@I=y{=}Sw%!+D4d){ULAjYNuu2LCO;4|XA{)>`R+>8Ft~x3cgETc3(+3}o9puc?5&>k<ZrY;rvX4P3G84tZgj`u~WyYQZTp(+?DU)wENjn);"
    "|1~{RRC<F|5bTnPVbLIn1eu~(_VzYB^_G5n7sKUg?N1J0RcUt}a#7i67w01X#}+U2Zo%z0wp~Tn_kKgx&l?NY;%!9mq=XEU>u`x6bk|DTMok"
    "LH4V7`6`yIgMbs`WBp}Dv`DEca0fh9PvPLg+<8;r4WHJmA_m&`+#HxIIEJiC~SDtys1a_xFzP|uFt0X4L^@9Ywx^<eHP>U)|mrsl0#BuFn$%"
    "NgPDVmh3o3E=$8ubYD1!?sT?uEg47-"
    "@IZ3es{c}s$v1UHShjWGg;jx6Lhw;fF_7uFB3)N+{J=x7X4M?G^C4MAdFl)LM+1<0@NOp2e*3=Jv{gC+J!FtHlwkV`?2zqv+H<2!;A-"
    "9iW^E1#(qV|!W$_+*T5;dsWu%^(6x)fol$%#RKw%We#bIuJs{^HJ0SW(zXzJd7|Vptdh@G><ZZ|LvP-~7?1*LWj-"
    "!ZiYXgI#_X2$PYBlXz<|S<gW(C5?i-%K-w*=>bdJu)GoMpA{PwGia2=EDEqR<6$`@CNo@3TTrse{yc>}lsw@%sQPWw<MIyV!Ni!th=`ZZ-"
    "e!*KC;tbtn={Q=h;$+y2x0o}xZn9P2XBA0BtU`3^(F-"
    "ZAYcRvQd;9vdsjpN&cgycw}ncTQbPpT!3>$*Ui|r~!iSp5=Hek(AVSzwdof3BWIo+lcJlDq$NPaLC{5aCmP_t6%bbH>~LobpAAsE5}gCU+1n"
    "}x20cJ^{GUe!=#Ox-WgOn>7{;tY5m195(h;KD|RCHi&>7oanZ6AfvcB2i$u${DM-XayacW6q=g*Ixn{w@ZT-ID@^_RfGjCvS=J=Z+#Qs+fQA"
    "ZXMoGeO}BSSavpiR$a_>vllanZsO6Gd8NzReTTRXwf736sIp;jlj&I2|ZF_n=)rs?AgH{eW%jxo?#<wsa9yD9u9YlIL}zI=`;V?#S`-"
    "7i)1}RR"
)


# The letters, marks and digits of scripts that write no spaces: each is a word of its own. Hangul does write them, but
# its words take endings.
_SINGLE: Final = (
    (0x1100, 0x11FF), (0x2E80, 0x2FDF), (0x3005, 0x3005), (0x3007, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B),
    (0x3041, 0x3096), (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x3131, 0x318E), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97C), (0xAC00, 0xD7A3), (0xD7B0, 0xD7FB), (0xF900, 0xFAFF),
    (0xFF66, 0xFFDC), (0x1AFF0, 0x1B16F), (0x20000, 0x3134F),
    (0x0E01, 0x0E5B), (0x0E81, 0x0EDF),  # Thai, Lao
    (0x1780, 0x17F9), (0x1000, 0x109F), (0xA9E0, 0xA9FE), (0xAA60, 0xAA7F),  # Khmer, Burmese
)  # fmt: skip

# Default_Ignorable_Code_Point, for a class of a regular expression: soft hyphen, joiners, marks of direction, variation
# selectors, fillers, tags.
IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# The nonspacing marks of Hebrew and Arabic, and the tatweel.
_OPTIONAL_MARKS: Final = (
    (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7), (0xFB1E, 0xFB1E),
    (0x0610, 0x061A), (0x0640, 0x0640), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC), (0x06DF, 0x06E4),
    (0x06E7, 0x06E8), (0x06EA, 0x06ED), (0x0898, 0x089F), (0x08CA, 0x08E1), (0x08E3, 0x08FF),
)  # fmt: skip
_ALEF: Final = "\u0627"
_FORMS_OF_ALEF: Final = "\u0622\u0623\u0625\u0671\u0672\u0673\u0773\u0774" + "".join(map(chr, range(0x0870, 0x0883)))
SEMITIC: Final = {
    **{chr(code): "" for first, last in _OPTIONAL_MARKS for code in range(first, last + 1)},
    **dict.fromkeys(_FORMS_OF_ALEF, _ALEF),
}
# Latin letters with something above, below or through them that Unicode does not take apart, and those that are written
# with these where a keyboard has no others.
_OTHER_FORMS: Final = {
    "a": "\u1d8f\u2c65", "ae": "\u00e6", "b": "\u0180\u0183\u0253\u1d6c\u1d80\ua797",
    "c": "\u0188\u023c\u0255\ua793\ua794\U0001df1d",
    "d": "\u00f0\u0111\u018c\u0221\u0256\u0257\u1d6d\u1d81\u1d91\ua7c8", "e": "\u0247\u0259\u025b\u1d92\u2c78\uab34",
    "f": "\u0192\u1d6e\u1d82\ua799", "g": "\u01e5\u0260\u0261\u1d83\ua7a1", "h": "\u0127\u0266\u2c68\ua795",
    "i": "\u0131\u0268\u1d96\U0001df1a", "j": "\u0237\u0249\u025f\u0284\u029d",
    "k": "\u0199\u1d84\u2c6a\ua741\ua743\ua745\ua7a3",
    "l": "\u0142\u019a\u0234\u026b\u026c\u026d\u1d85\u2c61\ua749\ua78e\uab37\uab38\uab39\U0001df11\U0001df13",
    "m": "\u0271\u1d6f\u1d86\uab3a", "n": "\u014b\u019e\u0235\u0272\u0273\u1d70\u1d87\ua791\ua7a5\uab3b",
    "o": "\u00f8\u0254\u0275\u2c7a\ua74b\ua74d\U0001df1b", "oe": "\u0153",
    "p": "\u01a5\u1d71\u1d7d\u1d88\ua751\ua753\ua755", "q": "\u0138\u024b\u02a0\ua757\ua759",
    "r": "\u024d\u027c\u027d\u027e\u1d72\u1d73\u1d89\ua7a7\uab47\uab49\U0001df16",
    "s": "\u023f\u0282\u1d74\u1d8a\ua7a9\ua7ca\U0001df1e",
    "t": "\u0167\u01ab\u01ad\u0236\u0288\u1d75\u2c66\U0001df09", "th": "\u00fe",
    "u": "\u0289\u1d99\ua7b9\uab4e\uab52", "v": "\u028b\u1d8c\u2c71\u2c74\ua75f", "w": "\u2c73",
    "x": "\u1d8d\uab56\uab57\uab58\uab59", "y": "\u01b4\u024f\u1eff\uab5a",
    "z": "\u01b6\u0225\u0240\u0290\u0291\u1d76\u1d8e\u2c6c",
}  # fmt: skip
LATIN: Final = {form: letter for letter, forms in _OTHER_FORMS.items() for form in forms}


@functools.cache
def _runs() -> tuple[list[int], str]:
    """Returns the first code point of each run, and the classes of the runs."""
    starts: list[int] = []
    kinds: list[str] = []
    for run in zlib.decompress(base64.b85decode(_RUNS)).decode().split(";"):
        starts.append((starts[-1] if starts else 0) + int(run[:-1], 16))
        kinds.append(run[-1])
    return starts, "".join(kinds)


@functools.cache
def kind_of(code: int) -> str:
    """Returns the class of a code point: ``w``, ``s``, ``o`` or ``u``."""
    starts, kinds = _runs()
    return kinds[bisect.bisect_right(starts, code) - 1]


@functools.cache
def is_single(code: int) -> bool:
    """Returns True for a letter, mark or digit that is a word of its own."""
    return any(first <= code <= last for first, last in _SINGLE) and kind_of(code) == "w"
