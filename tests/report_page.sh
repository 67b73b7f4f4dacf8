#!/bin/bash
# SPDX-License-Identifier: MIT
# The report in a browser: no errors on the console, nothing fetched, every figure visible, tables
# sort by a click, and text stands out from its ground in light and in dark.
set -u
. "${srcdir:-.}/tests/tap.sh"
top=${ZEROSIM_DATA_DIR:?}
skip() {
    echo "1..0 # SKIP $1"
    exit 0
}
chromium=$(command -v chromium || command -v chromium-browser) || skip 'chromium is not installed'
command -v gnuplot >/dev/null || skip 'gnuplot is not installed'
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99
conf=$top/tests/golden/two-layers.conf
zerosim compare "$conf" --over cluster.nodes=1,2 --price dgx-h100=2 -o results.jsonl &&
    zerosim run "$conf" -s training.strategy=zero3 --memory-csv memory.csv --trace trace.json \
        --explain --format=jsonl >>results.jsonl && zerosim report results.jsonl memory.csv trace.json -o report.html
tap_check 'the report is written' "$([ -s report.html ] || echo 'no report.html')"
tap_check 'it says why the explained step takes its time' "$(
    grep -c '<h2>Why steps' report.html | grep -vx 1
    grep -q 'largest parts of the critical path' report.html || echo 'no parts'
    grep -q '<li>Bottleneck: ' report.html || echo 'no bottleneck'
    grep -q 'one node: no link between nodes' report.html || echo 'no bandwidth'
)"
tap_check 'nothing is fetched' \
    "$(grep -oE '(src|href)=["'\''](https?:|//|file:)[^"'\'']*|@import|url\(["'\'']?http' report.html)"

# The page with a script at its end that looks at it as a reader would and writes what is wrong.
sed '/<\/body>/d; /<\/html>/d' report.html >seen.html
cat >>seen.html <<'END'
<pre id="verdict">not run</pre>
<script>
"use strict";
const faults = [];
const figures = document.querySelectorAll("figure svg");
if (figures.length < 8) faults.push("only " + figures.length + " figures");
for (const svg of figures) {
  const box = svg.getBoundingClientRect();
  if (box.width < 200 || box.height < 100) faults.push("a figure of " + box.width + " px");
  for (const text of svg.querySelectorAll("text")) {
    const t = text.getBoundingClientRect();
    if (text.textContent.trim() !== "" && (t.left < box.left - 1 || t.right > box.right + 1 ||
        t.top < box.top - 1 || t.bottom > box.bottom + 1))
      faults.push("clipped: " + text.textContent.trim());
  }
}
const ids = Array.from(document.querySelectorAll("[id]"), e => e.id);
if (new Set(ids).size !== ids.length)
  faults.push("ids twice: " + ids.filter((id, i) => ids.indexOf(id) !== i).slice(0, 3));
const table = document.querySelector("table.sortable");
const heads = Array.from(table.tHead.rows[0].cells);
const column = heads.findIndex(h => h.textContent.startsWith("step time"));
const values = () => Array.from(table.tBodies[0].rows, r => Number(r.cells[column].textContent));
const sorted = sign => values().every((v, i, all) => i === 0 || sign * (v - all[i - 1]) >= 0);
heads[column].querySelector("button").click();
if (!sorted(1) || heads[column].getAttribute("aria-sort") !== "ascending")
  faults.push("a click doesn't sort: " + values());
heads[column].querySelector("button").click();
if (!sorted(-1)) faults.push("a second click doesn't turn it round: " + values());

const parts = color => (color.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
function luminance(color) {
  const [r, g, b] = parts(color).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(element) {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    const p = parts(color);
    if (p.length === 3 || p[3] > 0) return color;
  }
  return "rgb(255, 255, 255)";
}
const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
for (let node; (node = walker.nextNode());) {
  const e = node.parentElement;
  if (node.data.trim() === "" || e.closest("title, style, defs")) continue;
  const color = e.closest("svg") ? getComputedStyle(e).fill : getComputedStyle(e).color;
  const a = luminance(color), b = luminance(ground(e));
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) faults.push("contrast " + contrast.toFixed(1) + ": " + node.data.trim());
}
document.getElementById("verdict").textContent =
    faults.length ? faults.slice(0, 10).join("\n") : "no faults";
</script>
</body>
</html>
END

# looked_at SCHEME: 1 is light, 0 dark.
looked_at() {
    timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$scratch/profile" --window-size=1200,900 --enable-logging=stderr \
        --blink-settings=preferredColorScheme="$1" --virtual-time-budget=5000 \
        --dump-dom "file://$scratch/seen.html" >dom 2>log || echo 'the browser failed'
    tr '\n' ';' <dom | grep -oE '<pre id="verdict">[^<]*' | sed 's/.*>//' >verdict
    [ "$(cat verdict)" = 'no faults' ] || cat verdict
    [ -s verdict ] || echo 'no verdict'
    grep 'CONSOLE' log
}
tap_check 'light: figures visible and whole, tables sort, contrast, console' "$(looked_at 1)"
tap_check 'dark: the same' "$(looked_at 0)"
tap_check 'dark is dark' "$(
    timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --user-data-dir="$scratch/profile" \
        --blink-settings=preferredColorScheme=0 --dump-dom \
        'data:text/html,<body><script>document.write(matchMedia("(prefers-color-scheme: dark)").matches)</script>' \
        2>/dev/null | grep -q true || echo 'the browser stayed light'
)"

zerosim report results.jsonl --format=markdown >table.md
tap_check 'Markdown: every row has as many cells' \
    "$(grep '^|' table.md | awk -F'|' 'NR == 1 { n = NF } NF != n')"
zerosim report results.jsonl --format=latex >table.tex
tap_check 'LaTeX: every row has as many cells, nothing unescaped' "$(
    grep ' & ' table.tex | awk -F' & ' 'NR == 1 { n = NF } NF != n'
    grep -nE '(^|[^\\])[%$#_]' table.tex
)"
tap_end
