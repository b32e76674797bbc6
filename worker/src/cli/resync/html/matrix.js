// The table. Of many rows only those in sight are in the document, with some on either side; two rows without content
// stand for the others. All rows are there while the page is printed.

const OVERSCAN = 16;

/** `onSort(column)` and `onOpen(index)` are called with what is chosen in the table. */
function matrix(model, onSort, onOpen) {
  const scroller = document.getElementById("matrix");
  const table = scroller.querySelector("table");
  const [head, body] = [table.tHead.rows[0], table.tBodies[0]];
  const [above, below] = [spacer(), spacer()];
  const drawn = new Map();
  let rows = [];
  let printed = false;
  let frame = 0;
  // In pixels; what the style says, unless the reader's settings make rows larger.
  let height = 27;

  const widths = model.columns.map((column) => widthOf(column, model.rows));
  const whole = widths.reduce((sum, width) => sum + width, 0);
  // The last one takes what is left of a wide window: no row has a cell there, but a reason goes on into it.
  for (const width of [...widths, 0]) {
    const col = element("col");
    if (width) col.style.setProperty("--on-screen", `${width}ch`);
    col.style.setProperty("--on-paper", `${(100 * width) / whole}%`);
    table.querySelector("colgroup").append(col);
  }
  scroller.style.setProperty("--first", `${widths[0]}ch`);
  table.style.width = `max(100%, ${whole}ch)`;
  const headings = model.columns.map((column) => heading(column, model.rows, onSort));
  head.append(...headings.map(({ cell }) => cell));
  body.append(above, below);

  function spacer() {
    const cell = element("td", { colSpan: model.columns.length + 1 });
    const row = element("tr", { className: "spacer" }, cell);
    row.setAttribute("aria-hidden", "true");
    return row;
  }

  function paint() {
    frame = 0;
    const top = Math.floor(scroller.scrollTop / height) - OVERSCAN;
    const shown = Math.ceil(scroller.clientHeight / height) + 2 * OVERSCAN;
    const first = printed ? 0 : Math.max(0, Math.min(top, rows.length - shown));
    const end = printed ? rows.length : Math.min(rows.length, first + shown);
    for (const [index, row] of drawn) {
      if (index >= first && index < end) continue;
      // Else the focus would go to the page, and the keys with it.
      if (row.contains(document.activeElement)) scroller.focus({ preventScroll: true });
      row.remove();
      drawn.delete(index);
    }
    let next = below;
    for (let index = end - 1; index >= first; index -= 1) {
      if (!drawn.has(index)) drawn.set(index, body.insertBefore(drawRow(rows[index], index, model), next));
      next = drawn.get(index);
    }
    above.firstChild.style.height = `${first * height}px`;
    below.firstChild.style.height = `${(rows.length - end) * height}px`;
    above.hidden = first === 0;
    below.hidden = end === rows.length;
  }

  function show(wanted) {
    for (const row of drawn.values()) row.remove();
    drawn.clear();
    rows = wanted;
    scroller.scrollTop = 0;
    table.setAttribute("aria-rowcount", String(rows.length + 1));
    document.getElementById("nothing").hidden = rows.length > 0;
    paint();
    const real = drawn.get(0)?.getBoundingClientRect().height;
    if (real && Math.abs(real - height) > 0.01) {
      height = real;
      paint();
    }
  }

  function sorted(by, direction) {
    for (const { cell, column } of headings) {
      cell.ariaSort = column === by ? direction : null;
    }
  }

  /** Brings a row into sight and gives it the focus. */
  function focus(index) {
    if (index < 0 || index >= rows.length) return;
    if (!drawn.has(index)) {
      scroller.scrollTop = index * height - scroller.clientHeight / 2;
      paint();
    }
    drawn.get(index).querySelector("button").focus();
  }

  /** On paper there are no details to open: there each reason has a row of its own. */
  function print(whether) {
    printed = whether;
    for (const reason of body.querySelectorAll(".reason")) reason.remove();
    paint();
    if (!printed) return;
    for (const [index, row] of drawn) {
      if (!rows[index].reason || row.querySelector(".why")) continue;
      row.after(element("tr", { className: "reason" }, element("td", { colSpan: model.columns.length }, rows[index].reason)));
    }
  }

  function indexOf(target) {
    const row = target.closest?.("tr[aria-rowindex]");
    return row && body.contains(row) ? Number(row.ariaRowIndex) - 2 : -1;
  }

  body.addEventListener("click", ({ target }) => {
    // A reader who selects a text wants to copy it.
    if (indexOf(target) >= 0 && getSelection().isCollapsed) onOpen(indexOf(target));
  });
  body.addEventListener("keydown", (event) => {
    const at = indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    focus(to);
  });
  scroller.addEventListener("scroll", () => (frame ||= requestAnimationFrame(paint)), { passive: true });
  new ResizeObserver(() => (frame ||= requestAnimationFrame(paint))).observe(scroller);
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  return { show, sorted, focus };
}

/** A column's heading: a button that sorts, and below it how many need a person. */
function heading(column, rows, onSort) {
  const button = element("button", { type: "button", title: column.label }, element("span", {}, column.label));
  button.addEventListener("click", () => onSort(column));
  const cell = element("th", { scope: "col" }, button);
  if (column.note) cell.append(element("div", { className: "tally", title: column.note }, column.note));
  if (!column.extension) return { cell, column };
  const states = rows.flatMap((row) => concerned(row, column.extension).map(({ State }) => text(State)));
  const notable = tally(states).filter(([state]) => look(state).severity >= look("Outdated").severity);
  const parts = notable.map(([state, number]) => {
    const { style, sign, word } = look(state);
    return element("span", { className: style, title: `${number} ${word}` }, element("span", { ariaHidden: "true" }, sign),
      String(number), element("span", { className: "unseen" }, ` ${word} `));
  });
  cell.append(element("div", { className: "tally" }, ...(parts.length ? parts : ["–"])));
  return { cell, column };
}

function drawRow(row, index, model) {
  const name = element("button", { type: "button", className: row.reached ? "" : "target", title: row.name }, row.name);
  name.ariaHasPopup = "dialog";
  const cells = [
    element("th", { scope: "row" }, name),
    mark("td", look(row.state), look(row.state).word, row.reason),
    ...(model.isCheck ? [element("td", { title: countsOf(row) }, countsOf(row) || "–")] : []),
    element("td", { title: row.server }, row.host || "–"),
    element("td", {}, row.version || "–"),
  ];
  if (row.extensions.size > 0 || !row.why) cells.push(...model.extensions.map((name) => extensionCell(row.extensions.get(name))));
  else {
    const why = element("span", { title: row.why }, row.why);
    cells.push(element("td", { colSpan: model.extensions.length + 1, className: "why" }, why));
  }
  const drawn = element("tr", {}, ...cells);
  drawn.ariaRowIndex = String(index + 2);
  return drawn;
}

function extensionCell(extension) {
  if (!extension) return element("td", { className: "none" }, element("span", { className: "sign", ariaHidden: "true" }, "·"), unseen("not there"));
  const { word } = look(extension.State);
  const says = versionOf(extension);
  const cell = mark("td", look(extension.State), says, says);
  if (says !== word) cell.append(unseen(` ${word}`));
  if (extension.BlocksMajorUpgrade) {
    cell.append(element("span", { className: "flag", title: BLOCKS.word, ariaHidden: "true" }, BLOCKS.sign), unseen(` ${BLOCKS.word}`));
  }
  return cell;
}

/** A sign in its colour with what it is about. */
function mark(name, { style, sign, word }, says, title) {
  const shown = element("span", { className: "sign", ariaHidden: "true" }, sign);
  return element(name, { className: style, title: title && title !== word ? `${word}: ${title}` : word }, shown, says);
}

function unseen(says) {
  return element("span", { className: "unseen" }, says);
}
