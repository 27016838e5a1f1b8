"""What the report adds to the look of every page."""

STYLE = """
.cards { grid-template-columns:repeat(auto-fill,minmax(140px,1fr)) }
nav { display:flex; flex-wrap:wrap; gap:4px 20px; margin:14px 0 }
h3 { margin:1.6em 0 .3em } h4 { margin:1.2em 0 .2em; font-size:.95rem }
.warning { color:var(--warn); background:var(--warnbg) } .warning strong { font-size:1rem }
.verdict { margin:0 0 10px } .verdict span { overflow-wrap:anywhere }
.device { font-weight:600; color:var(--ink) }
.headline { font-size:1.3rem; line-height:1.4; max-width:44em; padding:14px 18px; background:var(--card);
  border-radius:10px }
th, td { vertical-align:top } td small { display:block; line-height:1.35 }
td .note { white-space:normal; min-width:9em }
tr:first-child th { white-space:normal; min-width:6.5em; vertical-align:bottom }
th:first-child { position:sticky; left:0; background:var(--paper); padding-right:14px; white-space:normal;
  min-width:min(14em,26vw) }
.flat td { text-align:left } .flat td small { display:inline; margin-left:.5em }
.flat th, .texts th { text-align:left }
td b { font-weight:600 } .few, .few b { color:var(--soft); font-weight:400; font-style:italic }
td.text { white-space:normal; text-align:left; min-width:7em; overflow-wrap:anywhere }
.plots { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr)); gap:14px; margin:12px 0 }
.plot > div { overflow-x:auto; background:#fff; border-radius:4px } .plot svg { display:block; width:100%; height:auto }
.plots .plot { max-width:520px } .plot.slices { max-width:820px } .plot.slices svg { min-width:600px }
.key { display:flex; flex-wrap:wrap; gap:0 1.4em; max-width:none }
.film svg { max-height:440px } .film text { font-weight:600 } summary { cursor:pointer; color:var(--mark) }
@media (max-width:560px) { th:first-child { white-space:normal; max-width:9.5em } }
@media print { details::details-content { content-visibility:visible; display:block } nav { display:none }
  td, th { padding-right:7px } .plot.slices svg { min-width:0 } tr { break-inside:avoid } }
"""
