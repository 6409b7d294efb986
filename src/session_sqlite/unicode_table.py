"""The Unicode table that search folds and divides text by: version 14.0, whatever Python runs.

Python's own tables grow with its versions, and an index that one version wrote could not be read or emptied by
another: a character that is unknown to one is a letter to the next. Each code point has one of four classes: ``w``
letters, marks and numbers, ``s`` other symbols (emoji among them), ``o`` what separates words, ``u`` not assigned in
Unicode 14.0, which separates words too. A test compares it with `unicodedata` where that is of the same version.
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


# Han, Kana and Hangul: each of their characters is a word of its own.
_CJK: Final = (
    (0x1100, 0x11FF), (0x2E80, 0x2FDF), (0x3005, 0x3005), (0x3007, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B),
    (0x3041, 0x3096), (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x3131, 0x318E), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97C), (0xAC00, 0xD7A3), (0xD7B0, 0xD7FB), (0xF900, 0xFAFF),
    (0xFF66, 0xFFDC), (0x1AFF0, 0x1B16F), (0x20000, 0x3134F),
)  # fmt: skip


@functools.cache
def _runs() -> tuple[list[int], str]:
    """The first code point of each run, and the classes of the runs."""
    starts: list[int] = []
    kinds: list[str] = []
    for run in zlib.decompress(base64.b85decode(_RUNS)).decode().split(";"):
        starts.append((starts[-1] if starts else 0) + int(run[:-1], 16))
        kinds.append(run[-1])
    return starts, "".join(kinds)


@functools.cache
def kind_of(code: int) -> str:
    """The class of a code point: ``w``, ``s``, ``o`` or ``u``."""
    starts, kinds = _runs()
    return kinds[bisect.bisect_right(starts, code) - 1]


@functools.cache
def is_cjk(code: int) -> bool:
    """True for a code point of the Han, Kana and Hangul scripts."""
    return any(first <= code <= last for first, last in _CJK)
