"""The style sheets of all HTML, for pages and for the outputs of a notebook.

Every selector begins with one class, twice: this outweighs Jupyter's own styles for tables and code. The colours are
light or dark as the reader's system asks for, or as the theme of the notebook. Nothing is loaded.
"""

from typing import Final

ROOT: Final = "session-sqlite"

# The styles that every output needs; a table needs no others.
BASE: Final = """
.session-sqlite.session-sqlite{color-scheme:light dark;
--fg:light-dark(#1f2328,#e8eaed);--soft:light-dark(#57606a,#a9b1bc);--line:light-dark(#d5dae0,#3b424c);
--page:light-dark(#fff,#14171c);--code:light-dark(#e4e9ee,#0c0e12);--mark:light-dark(#ffe58a,#6b5200);
color:var(--fg);background:var(--page);font:14px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
padding:.5em;border-radius:8px;max-width:60em;
& *{box-sizing:border-box}
& p{margin:.3em 0}
& .soft{color:var(--soft)}
& mark{background:var(--mark);color:inherit;border-radius:2px}
& .scroll{overflow-x:auto}
& table{border-collapse:collapse;margin:0;width:auto;table-layout:auto;font-size:13px;border:0;color:inherit}
& th,& td{text-align:start;vertical-align:top;padding:.35em .9em .35em 0;border:0;border-bottom:1px solid var(--line);
background:none;color:inherit;white-space:normal;max-width:36em}
& tbody tr:nth-child(n){background:none}
& th{color:var(--soft);font-weight:600;white-space:nowrap}
& td{unicode-bidi:plaintext}
& .n{text-align:end;font-variant-numeric:tabular-nums;white-space:nowrap}
& .t{white-space:nowrap}
& .long{overflow-wrap:anywhere;min-width:14em}}
[data-jp-theme-light=true] .session-sqlite.session-sqlite,.vscode-light .session-sqlite.session-sqlite{
color-scheme:light}
[data-jp-theme-light=false] .session-sqlite.session-sqlite,.vscode-dark .session-sqlite.session-sqlite{
color-scheme:dark}
"""

TRANSCRIPT: Final = """
.session-sqlite.session-sqlite{
--user:light-dark(#e3eefd,#1b3050);--model:light-dark(#f3f5f7,#21262d);--system:light-dark(#f3edfb,#2e2542);
--tool:light-dark(#eaf5ee,#1a2f25);--bad:light-dark(#a3211a,#ff9d95);--good:light-dark(#0d6335,#82d8a7);
--wait:light-dark(#6f4b00,#f0c674);--link:light-dark(#0b57a8,#8ab8ff);
--key:light-dark(#8a1c8f,#d6a0f5);--string:light-dark(#0b5c32,#9ad8a8);--number:light-dark(#0b4fa0,#8fc1ff);
--function:light-dark(#6f4200,#f0cf85);
& .title{font-size:1.35em;line-height:1.3;font-weight:650;margin:.2em 0;overflow-wrap:anywhere}
& dl.facts{display:flex;flex-wrap:wrap;gap:.1em 1.2em;margin:.2em 0 1em;font-size:.88em;color:var(--soft)}
& .facts div{display:flex;gap:.4em}
& .facts dt,& .facts dd{float:none;width:auto;margin:0;padding:0;font-weight:400}
& .facts dd{color:var(--fg);overflow-wrap:anywhere}
& ol.events{list-style:none;margin:0;padding:0;display:flex;flex-direction:column;gap:.6em}
& ol.events>li{margin:0 12% 0 0;padding:.55em .9em;border-radius:12px;border-start-start-radius:3px;
background:var(--model);overflow-wrap:anywhere;min-width:0}
& ol.events>li.user{background:var(--user);margin:0 0 0 12%;border-start-start-radius:12px;border-start-end-radius:3px}
& ol.events>li.system{background:var(--system)}
& ol.events>li.tool{background:var(--tool)}
& ol.events>li.gap{background:none;text-align:center;color:var(--soft);margin:0;padding:.3em}
& .who{display:flex;flex-wrap:wrap;gap:0 .7em;margin:0 0 .15em;font-size:.86em;font-weight:400;line-height:1.5;
align-items:baseline;color:var(--soft)}
& .who b{color:var(--fg);font-weight:650}
& .text{white-space:pre-wrap;unicode-bidi:plaintext;text-align:start}
& .text+.text{margin-top:.6em}
& .md>:first-child{margin-top:0}& .md>:last-child{margin-bottom:0}
& .md p,& .md ul,& .md ol,& .md blockquote,& .md .scroll{margin:.6em 0}
& .md p,& .md li,& .md blockquote,& .md h3,& .md h4,& .md h5,& .md h6{unicode-bidi:plaintext;text-align:start}
& .md ul,& .md ol{padding-inline-start:1.7em;padding-inline-end:0}
& .md ul{list-style:disc}& .md ul ul{list-style:circle}& .md ol{list-style:decimal}
& .md li{margin:.15em 0}& .md li>ul,& .md li>ol{margin:.15em 0}
& .md h3,& .md h4,& .md h5,& .md h6,& .md .h{font-weight:650;line-height:1.35;margin:1em 0 .4em;font-size:1.05em;
color:inherit}
& .md h3{font-size:1.2em}& .md h4{font-size:1.1em}
& .md blockquote{border:0;border-inline-start:3px solid var(--line);padding:0;padding-inline-start:.9em;
color:var(--soft);background:none}
& .md hr{border:0;border-top:1px solid var(--line);margin:1.1em 0}
& .md table{font-size:.95em}
& .md .r{text-align:end}& .md .m{text-align:center}
& a{color:var(--link);text-decoration:underline;text-underline-offset:.15em}
& pre .c{color:var(--soft)}& pre .k{color:var(--key)}& pre .s{color:var(--string)}& pre .n{color:var(--number)}
& pre .f{color:var(--function)}& pre .b{color:var(--number)}& pre .i{color:var(--good)}& pre .d{color:var(--bad)}
& pre,& code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.92em;
background:var(--code);color:inherit;border-radius:5px;border:0}
& code{padding:.1em .3em}
& pre{tab-size:4;margin:.4em 0;padding:.6em .8em;overflow:auto;white-space:pre;line-height:1.45;max-height:36em;
direction:ltr}
& pre.wrap{white-space:pre-wrap}
& pre code{padding:0;background:none;font-size:1em}
& .lang{font-size:.8em;color:var(--soft);margin:.5em 0 -.3em}
& img{display:block;max-width:100%;max-height:30em;height:auto;border-radius:6px;margin:.4em 0}
& details{margin:.4em 0;border-inline-start:3px solid var(--line);padding-inline-start:.7em}
& summary{cursor:pointer;overflow:hidden;text-overflow:ellipsis}
& details.call>summary{white-space:nowrap}
& details.call[open]>summary{white-space:normal}
& .label{font-size:.82em;color:var(--soft);margin:.5em 0 0}
& .ok{color:var(--good)}& .error{color:var(--bad)}& .pending{color:var(--wait)}
& ul.state{list-style:none;margin:.5em 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.3em .5em;font-size:.88em}
& ul.state li{margin:0;max-width:100%}
& ul.state::before{content:"state";color:var(--soft)}
& .foot{font-size:.82em;color:var(--soft);margin:.4em 0 0}
@media (max-width:40em){& ol.events>li{margin-right:0}& ol.events>li.user{margin-left:1.6em}}}
"""

PAGE: Final = """
html{color-scheme:light dark;background:light-dark(#fff,#14171c)}
body{margin:0;overflow-wrap:anywhere}
main.session-sqlite.session-sqlite{margin:0 auto;padding:1em 1em 3em}
section+section{margin-top:3em;border-top:1px solid var(--line);padding-top:1.5em}
@media print{main ol.events>li{break-inside:avoid}pre{max-height:none}}
"""
