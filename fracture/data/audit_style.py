"""How the audit's page looks: light and dark, wide and narrow, screen and paper."""

STYLE = """
:root { color-scheme: light dark; --ink:#1b2127; --soft:#5b6670; --paper:#fff; --card:#f4f6f8; --line:#dbe1e6;
  --bad:#b3261e; --badbg:#fdecea; --good:#1b6e3c; --goodbg:#e8f5ec; --warn:#8a5a00; --warnbg:#fff3dc; --mark:#1f6feb; }
@media screen and (prefers-color-scheme: dark) { :root { --ink:#e6eaee; --soft:#9aa6b1; --paper:#14181c; --card:#1d2328;
  --line:#333c44; --bad:#ff8a80; --badbg:#3a1917; --good:#7fd39b; --goodbg:#14301e; --warn:#f2c063; --warnbg:#35280f;
  --mark:#6ea8ff; } }
* { box-sizing:border-box }
body { margin:0; background:var(--paper); color:var(--ink); font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
  "DejaVu Sans",sans-serif }
main { max-width:1120px; margin:0 auto; padding:28px 20px 60px }
h1 { font-size:1.9rem; line-height:1.2; margin:0 0 .6em; overflow-wrap:anywhere }
h2 { font-size:1.3rem; margin:2.2em 0 .6em; padding-top:.6em; border-top:1px solid var(--line) }
h3 { font-size:1.08rem; margin:0 0 .2em }
p { margin:.3em 0 .8em; max-width:72ch }
a { color:var(--mark) }
small, .more, footer, .over { color:var(--soft) }
.over { margin:0; letter-spacing:.06em; text-transform:uppercase; font-size:.78rem }
.verdict { display:flex; flex-wrap:wrap; gap:4px 18px; align-items:baseline; padding:16px 20px; border-radius:10px;
  border-left:6px solid currentColor }
.verdict strong { font-size:1.5rem } .verdict span { color:var(--ink) }
.bad { color:var(--bad); background:var(--badbg) } .good { color:var(--good); background:var(--goodbg) }
.plain { color:var(--soft); background:var(--card) }
.todo { padding-left:1.4em; margin:0 } .todo li { margin:0 0 .7em; max-width:76ch }
.n { display:inline-block; min-width:1.7em; padding:0 .5em; border-radius:1em; background:var(--card);
  text-align:center; font-size:.85em; font-variant-numeric:tabular-nums }
.cards { display:grid; grid-template-columns:repeat(auto-fill,minmax(128px,1fr)); gap:8px; margin-bottom:18px }
.cards div { background:var(--card); border-radius:8px; padding:8px 12px; color:var(--soft); font-size:.85rem }
.cards b { display:block; font-size:1.25rem; color:var(--ink); font-variant-numeric:tabular-nums }
.scroll { overflow-x:auto; margin-bottom:16px }
table { border-collapse:collapse; font-size:.9rem; font-variant-numeric:tabular-nums }
th, td { padding:4px 12px 4px 0; text-align:right; border-bottom:1px solid var(--line); white-space:nowrap }
th:first-child { text-align:left; font-weight:600; max-width:22em; overflow:hidden; text-overflow:ellipsis }
tr:first-child th { color:var(--soft); font-weight:400 }
.balance .part { color:var(--soft); font-weight:400; padding-top:14px }
.links td:nth-child(n+4), .links th:nth-child(n+4) { text-align:left }
.decides th, .decides td { background:var(--warnbg) } .decides td:last-child { color:var(--warn); font-weight:600 }
.bar { width:190px; height:28px; vertical-align:middle }
.rail { stroke:var(--line); stroke-width:2 } .span { fill:var(--mark); opacity:.35 } .dot { fill:var(--mark) }
.rest { stroke:var(--ink); stroke-width:1.4 }
section { margin:0 0 30px; padding-top:14px }
.tag { display:inline-block; font-size:.72rem; letter-spacing:.05em; text-transform:uppercase; padding:1px 8px;
  border-radius:4px; vertical-align:2px; background:var(--card); color:var(--soft) }
.tag.leak { background:var(--badbg); color:var(--bad) } .tag.defect { background:var(--warnbg); color:var(--warn) }
.sheet { display:grid; grid-template-columns:repeat(auto-fill,minmax(250px,1fr)); gap:12px }
figure { margin:0; padding:8px; align-self:start; background:var(--card); border-radius:8px; break-inside:avoid }
figure.of3 { grid-column:1 / -1 }
figure > div { display:grid; grid-template-columns:repeat(auto-fill,minmax(112px,1fr)); gap:6px }
figure.of1 > div { grid-template-columns:1fr } figure.of2 > div { grid-template-columns:1fr 1fr }
.film { display:flex; flex-direction:column; min-width:0 }
.film svg { display:block; width:100%; max-height:220px; background:#000; border-radius:4px }
.film svg rect { fill:none; stroke:#ffb02e; stroke-width:1.5px; vector-effect:non-scaling-stroke }
.film span { font-size:.72rem; color:var(--soft); overflow-wrap:anywhere; line-height:1.3; padding-top:2px }
.film p { height:140px; margin:0; display:grid; place-items:center; background:var(--line); border-radius:4px;
  font-size:.8rem; color:var(--soft) }
figcaption { font-size:.82rem; padding-top:4px; overflow-wrap:anywhere }
.r { font-variant-numeric:tabular-nums }
ul { padding-left:1.2em; margin:.4em 0; font-size:.9rem; overflow-wrap:anywhere }
code { font-family:ui-monospace,"DejaVu Sans Mono",monospace; font-size:.86em }
footer { margin-top:40px; border-top:1px solid var(--line); padding-top:12px; font-size:.85rem }
@media (max-width:560px) { main { padding:18px 14px 40px } h1 { font-size:1.5rem }
  .sheet { grid-template-columns:1fr } .bar { width:120px } .verdict { padding:12px 14px }
  th, td { padding-right:9px } table { font-size:.82rem } .todo { padding-left:1.2em } }
@media print { * { print-color-adjust:exact; -webkit-print-color-adjust:exact }
  :root { --ink:#000; --soft:#444; --paper:#fff; --card:#f3f3f3; --line:#ccc } main { max-width:none; padding:0 }
  body { font-size:11px } .scroll { overflow:visible } h3, h2 { break-after:avoid } a { color:inherit } }
"""
