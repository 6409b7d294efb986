"""The style sheets of all HTML, for pages and for the outputs of a notebook.

Every selector begins with one class, twice: this outweighs Jupyter's own styles for tables and code. A page is light or
dark as the reader's system asks for. An output of a notebook has no background, and the notebook's own colour for text;
the other colours are mixed from that one, or follow its theme. Nothing is loaded.
"""

from typing import Final

ROOT: Final = "session-sqlite"

# The styles that every output needs; a table needs no others.
BASE: Final = """
.session-sqlite.session-sqlite{
--soft:color-mix(in srgb,currentColor 72%,transparent);--line:color-mix(in srgb,currentColor 20%,transparent);
--code:color-mix(in srgb,currentColor 8%,transparent);--mark:light-dark(#ffe58a,#6b5200);
--link:light-dark(#0b57a8,#8ab8ff);
color:inherit;background:none;font:14px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
padding:.5em;max-width:60em;
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
& .long{overflow-wrap:anywhere;min-width:14em}
& a{color:var(--link);text-decoration:underline;text-underline-offset:.15em}}
[data-jp-theme-light=true] .session-sqlite.session-sqlite,.vscode-light .session-sqlite.session-sqlite{
color-scheme:light}
[data-jp-theme-light=false] .session-sqlite.session-sqlite,.vscode-dark .session-sqlite.session-sqlite,
html[theme=dark] .session-sqlite.session-sqlite{color-scheme:dark}
"""

TRANSCRIPT: Final = """
.session-sqlite.session-sqlite{
--user:light-dark(#2f7bea24,#4c8dff38);--model:color-mix(in srgb,currentColor 5%,transparent);
--system:light-dark(#8250df1c,#a37bff2e);--tool:light-dark(#1a9d5a1c,#3fb97a2b);
--bad:light-dark(#a3211a,#ff9d95);--good:light-dark(#0d6335,#82d8a7);--wait:light-dark(#6f4b00,#f0c674);
--key:light-dark(#8a1c8f,#d6a0f5);--string:light-dark(#0b5c32,#9ad8a8);--number:light-dark(#0b4fa0,#8fc1ff);
--function:light-dark(#6f4200,#f0cf85);
& .title{font-size:1.35em;line-height:1.3;font-weight:650;margin:.2em 0;overflow-wrap:anywhere;
unicode-bidi:plaintext;text-align:start}
& .counts{font-size:.88em;color:var(--soft);margin:.1em 0 1em}
& ol.events{list-style:none;margin:0;padding:0;display:flex;flex-direction:column;align-items:flex-start;gap:.6em}
& ol.events>li{margin:0;max-width:88%;padding:.5em .9em .55em;border-radius:14px;border-start-start-radius:4px;
background:var(--model);overflow-wrap:anywhere;min-width:0}
& ol.events>li.user{background:var(--user);align-self:flex-end;border-start-start-radius:14px;
border-start-end-radius:4px}
& ol.events>li.system{background:var(--system)}
& ol.events>li.tool{background:var(--tool)}
& ol.events>li.gap{background:none;align-self:center;color:var(--soft);padding:.3em}
& ol.events>li:target,& :target>.calls,& div:target{outline:2px solid var(--link);outline-offset:2px}
& .who{display:flex;flex-wrap:wrap;gap:0 .7em;margin:0 0 .1em;font-size:.84em;font-weight:400;line-height:1.5;
align-items:baseline;color:var(--soft)}
& .who b{font-weight:650}
& .who .seq{margin-inline-start:auto;color:inherit;text-decoration:none}
& .who a.seq:hover{text-decoration:underline}
& ol.events>li{position:relative}
& .who .again{opacity:0;position:absolute;inset-inline-start:calc(100% + .6em);white-space:nowrap}
& li.user>.who .again{inset-inline:auto calc(100% + .6em)}
& li:hover>.who .again,& li:focus-within>.who .again{opacity:1}
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
& .md th,& .md td{overflow-wrap:break-word}
& .md ul>li:has(>.task,>p:first-child>.task){list-style:none}
& .task{display:inline-block;width:1.5em;margin-inline-start:-1.5em}& .md ol>li .task{width:auto;margin:0 .4em 0 0}
& .md .r{text-align:end}& .md .m{text-align:center}
& pre .c{color:var(--soft)}& pre .k{color:var(--key)}& pre .s{color:var(--string)}& pre .n{color:var(--number)}
& pre .f{color:var(--function)}& pre .b{color:var(--number)}& pre .i{color:var(--good)}& pre .d{color:var(--bad)}
& pre,& code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.92em;
background:var(--code);color:inherit;border-radius:5px;border:0}
& code{padding:.1em .3em}
& pre{tab-size:4;margin:.4em 0;padding:.6em .8em;overflow:auto;white-space:pre;line-height:1.45;max-height:36em;
direction:ltr}
& pre.wrap{white-space:pre-wrap}
& pre code{padding:0;background:none;font-size:1em}
& .code{position:relative;margin:.6em 0;padding-top:1.75em;border-radius:5px;background:var(--code);cursor:pointer;
-webkit-user-select:all;user-select:all}
& .code::before,& .code::after{position:absolute;top:.3em;inset-inline-start:1em;font-size:.8em;color:var(--soft);
content:attr(data-language);pointer-events:none}
& .code::after{inset-inline:auto 1em;content:"select"}
& .code:hover::after{color:var(--link)}
& blockquote :is(blockquote,.soft,pre .c),& blockquote .code::before,& blockquote .code::after{color:inherit}
& .code pre{margin:0;padding-top:.2em;background:none;cursor:auto;-webkit-user-select:text;user-select:text}
& img{display:block;max-width:100%;max-height:30em;height:auto;border-radius:6px;margin:.4em 0}
& details{margin:.4em 0;border-inline-start:3px solid var(--line);padding-inline-start:.7em}
& summary{cursor:pointer;overflow:hidden;text-overflow:ellipsis}
& details.call>summary{white-space:nowrap}
& details.call[open]>summary{white-space:normal}
& .calls{margin:.4em 0 0}& .calls details{margin:.2em 0}& .calls .call{max-width:100%}
& .label{font-size:.82em;color:var(--soft);margin:.5em 0 0}
& .facts{margin:.2em 0;padding:0;border:0;font-size:.88em;color:var(--soft)}
& .facts dl{margin:.3em 0 .6em;padding-inline-start:1.1em}
& .facts div{display:flex;gap:.6em}
& .facts dt,& .facts dd{float:none;width:auto;margin:0;padding:0;font-weight:400}
& .facts dt{flex:none;width:6.5em}
& .facts dd{overflow-wrap:anywhere;min-width:0}
& .ok{color:var(--good)}& .error{color:var(--bad)}& .pending{color:var(--wait)}
& ul.state{list-style:none;margin:.5em 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.3em .5em;font-size:.88em}
& ul.state li{margin:0;max-width:100%}
& ul.state::before{content:"state";color:var(--soft)}
& .foot{font-size:.82em;color:var(--soft);margin:.4em 0 0}
@media (max-width:40em){& .who .again{display:none}& ol.events>li{max-width:100%}& ol.events>li.user{max-width:92%}}}
"""

INDEX: Final = """
.session-sqlite.session-sqlite{
& .title{font-size:1.5em;line-height:1.3;font-weight:650;margin:.2em 0}
& .counts{color:var(--soft);margin:.1em 0 .8em}
& [hidden]{display:none}
& .find{width:100%;max-width:30em;margin:0 0 1em;padding:.5em .8em;font:inherit;color:inherit;background:var(--code);
border:1px solid var(--line);border-radius:8px}
& .months ul{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:.2em 1.1em;font-size:.92em;
color:var(--soft)}
& h2{font-size:1.1em;font-weight:650;margin:1.6em 0 .4em;padding-top:.4em}
& ol.index{list-style:none;margin:0;padding:0}
& ol.index li{padding:.55em 0;border-top:1px solid var(--line);overflow-wrap:anywhere}
& ol.index li>a{display:block;font-weight:600;text-decoration:none;unicode-bidi:plaintext;text-align:start}
& ol.index li>a:hover{text-decoration:underline}
& .first{margin:.1em 0;display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden;
unicode-bidi:plaintext;text-align:start}
& ol.index .soft{font-size:.88em;margin:.1em 0}}
"""

PAGE: Final = """
html{color-scheme:light dark;background:light-dark(#fff,#14171c);color:light-dark(#1f2328,#e8eaed)}
body{margin:0;overflow-wrap:anywhere}
main.session-sqlite.session-sqlite{margin:0 auto;padding:1.2em 1em 3em;
& section{display:grid;grid-template-columns:minmax(0,1fr);grid-template-rows:repeat(5,auto) 1fr auto}
& section>*{grid-column:1}
& section+section{margin-top:3em;border-top:1px solid var(--line);padding-top:1.5em}
& nav.pages{grid-row:1;display:flex;flex-wrap:wrap;gap:.1em 1.4em;font-size:.88em;margin-bottom:.8em}
& nav.pages.last{grid-row:7;margin:1.6em 0 0}
& .title{grid-row:2}& .facts{grid-row:3}& section>.counts{grid-row:4}& .events{grid-row:6}
& nav.prompts{grid-row:5;font-size:.88em;max-height:70vh;overflow:auto;border:1px solid var(--line);border-radius:8px;
padding:.4em .8em;margin:0 0 1.2em}
& nav.prompts details{margin:0;padding:0;border:0}
& nav.prompts summary{color:var(--soft)}
& nav.prompts ol{margin:.2em 0 0;padding:0;list-style:none}
& nav.prompts li{padding:.3em 0;border-top:1px solid var(--line)}
& nav.prompts a{display:block;color:inherit;text-decoration:none}
& nav.prompts a:hover{text-decoration:underline}}
@media (min-width:74em){main.session-sqlite.session-sqlite:has(nav.prompts){max-width:76em;
& section{grid-template-columns:minmax(0,1fr) 17em;column-gap:2.5em}
& nav.prompts{grid-column:2;grid-row:2/7;position:sticky;top:1.2em;align-self:start;max-height:calc(100vh - 2.4em);
border:0;border-inline-start:1px solid var(--line);border-radius:0}
& nav.prompts li{border:0;padding:.12em 0}
@supports selector(::details-content){& nav.prompts details::details-content{content-visibility:visible}
& nav.prompts summary{pointer-events:none;list-style:none}& nav.prompts summary::-webkit-details-marker{display:none}}}}
@media print{html{background:none;color:#000;color-scheme:light}
main.session-sqlite.session-sqlite{padding:0;max-width:none;
& nav,& .find,& .code::after{display:none}
& ol.events>li{break-inside:avoid-page;max-width:100%;border:1px solid var(--line)}
& pre{max-height:none;white-space:pre-wrap;overflow:visible}& .again{display:none}
& h1,& h2,& h3,& .who{break-after:avoid}& section+section{break-before:page;border:0}}}
"""
