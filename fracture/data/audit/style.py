"""What the audit's page adds to the look of every page."""

STYLE = """
.todo { padding-left:1.4em; margin:0 } .todo li { margin:0 0 .7em; max-width:76ch }
.n { display:inline-block; min-width:1.7em; padding:0 .5em; border-radius:1em; background:var(--card);
  text-align:center; font-size:.85em; font-variant-numeric:tabular-nums }
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
figure.of3 { grid-column:1 / -1 }
figure > div { display:grid; grid-template-columns:repeat(auto-fill,minmax(112px,1fr)); gap:6px }
figure.of1 > div { grid-template-columns:1fr } figure.of2 > div { grid-template-columns:1fr 1fr }
.film { display:flex; flex-direction:column; min-width:0 }
.film svg { max-height:220px }
.film svg rect { fill:none; stroke:#ffb02e; stroke-width:1.5px; vector-effect:non-scaling-stroke }
.film span { font-size:.72rem; color:var(--soft); overflow-wrap:anywhere; line-height:1.3; padding-top:2px }
.film p { height:140px; margin:0; display:grid; place-items:center; background:var(--line); border-radius:4px;
  font-size:.8rem; color:var(--soft) }
.r { font-variant-numeric:tabular-nums }
@media (max-width:560px) { .bar { width:120px } .todo { padding-left:1.2em } }
"""
