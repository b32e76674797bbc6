// The page: what is asked for, and what of it is shown.

const model = read(JSON.parse(document.getElementById("report").textContent));
// A check has results of servers, too.
const NOUN = model.isCheck ? "result" : "database";
const byId = (id) => document.getElementById(id);
const wanted = { words: [], states: new Set(), cells: new Set(), extension: "", cause: "" };
const order = { column: model.columns[1], direction: model.columns[1].first };
let shown = [];

const table = matrix(model, sortBy, (index) => drawer.open(index));
const drawer = details((index) => shown[index], table.focus);

/** Shows what is wanted, in the order that is. */
function refresh() {
  const sign = order.direction === "ascending" ? 1 : -1;
  const byName = model.columns[0].compare;
  shown = model.rows.filter((row) => matches(row, wanted));
  shown.sort((a, b) => sign * order.column.compare(a, b) || byName(a, b));
  table.sorted(order.column, order.direction);
  table.show(shown);
  byId("shown").textContent = `${shown.length.toLocaleString("en")} of ${count(model.rows.length, NOUN)} shown`;
  byId("clear").disabled = shown.length === model.rows.length && !byId("search").value;
}

function sortBy(column) {
  const turned = order.direction === "ascending" ? "descending" : "ascending";
  order.direction = order.column === column ? turned : column.first;
  order.column = column;
  refresh();
}

/** A button that is on or off, and what it counts. */
function chip(container, { style, sign, word }, number, set, key) {
  const button = element("button", { type: "button", className: `chip ${style}`, ariaPressed: String(set.has(key)) },
    element("span", { className: "sign", ariaHidden: "true" }, sign), `${word} `, element("b", {}, number.toLocaleString("en")));
  button.addEventListener("click", () => {
    if (!set.delete(key)) set.add(key);
    button.ariaPressed = String(set.has(key));
    refresh();
  });
  container.append(button);
}

/** The totals: of all databases, and of the extensions in them, or the one that is asked for. */
function drawChips() {
  const databases = byId("database-states");
  const extensions = byId("extension-states");
  databases.replaceChildren();
  extensions.replaceChildren();
  for (const [state, number] of tally(model.rows.map((row) => row.state))) {
    chip(databases, look(state), number, wanted.states, state);
  }
  const all = model.rows.flatMap((row) => concerned(row, wanted.extension));
  for (const [state, number] of tally(all.map(({ State }) => text(State)))) {
    chip(extensions, look(state), number, wanted.cells, state);
  }
  const blocking = all.filter(({ BlocksMajorUpgrade }) => BlocksMajorUpgrade).length;
  if (blocking || wanted.cells.has(BLOCKS.word)) chip(extensions, BLOCKS, blocking, wanted.cells, BLOCKS.word);
}

/** What struck how many, the most first. */
function drawReasons() {
  const causes = new Map();
  for (const row of model.rows) {
    for (const cause of row.causes) {
      if (!causes.has(cause.key)) causes.set(cause.key, { cause, rows: new Set() });
      causes.get(cause.key).rows.add(row);
    }
  }
  const urgency = ({ cause }) => cause.look.severity;
  const struck = new Set([...causes.values()].flatMap(({ rows }) => [...rows])).size;
  const reasons = byId("reasons");
  reasons.hidden = causes.size === 0;
  reasons.open = innerWidth >= 700 && innerHeight >= 700;
  const noun = model.isCheck ? "finding" : "reason";
  reasons.querySelector("summary").textContent = `${count(causes.size, noun)} at ${count(struck, NOUN)}`;
  const byCount = (a, b) => b.rows.size - a.rows.size;
  const byUrgency = (a, b) => urgency(b) - urgency(a);
  const order = model.isCheck ? [byUrgency, byCount] : [byCount, byUrgency];
  const sorted = [...causes].sort(([, a], [, b]) => order[0](a, b) || order[1](a, b));
  const lines = sorted.map(([key, { cause, rows }]) => {
    const { style, sign, word } = cause.look;
    const says = rows.size === 1 ? cause.whole : cause.says;
    const button = element("button", { type: "button", title: says, ariaPressed: String(wanted.cause === key) },
      element("b", {}, rows.size.toLocaleString("en")), element("span", { className: `sign ${style}`, ariaHidden: "true" }, sign),
      unseen(` ${word}: `), says);
    button.addEventListener("click", () => {
      wanted.cause = wanted.cause === key ? "" : key;
      for (const other of reasons.querySelectorAll("button")) other.ariaPressed = String(other === button && wanted.cause === key);
      refresh();
    });
    return element("li", {}, button);
  });
  reasons.querySelector("ul").replaceChildren(...lines);
}

function drawSummary() {
  const { ResyncId, Mode, StartedAt, FinishedAt, Complete } = model.report;
  const seconds = (Date.parse(text(FinishedAt)) - Date.parse(text(StartedAt))) / 1000;
  const took = seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
  const servers = new Set(model.rows.map((row) => row.server).filter(Boolean)).size;
  const modes = {
    Report: "report only: nothing was changed",
    Repair: "repair: databases were changed",
    UpgradeCheck: "check only: nothing was changed",
  };
  byId("resync").textContent = text(ResyncId);
  document.title = `${text(ResyncId)} – extensions of the fleet`;
  if (model.isCheck) {
    const to = [...new Set(model.rows.map(({ result }) => text(result.Basis?.To)).filter(Boolean))].join(", ");
    byId("heading").textContent = `Upgrade to PostgreSQL ${to || "…"}`;
    document.title = `${text(ResyncId)} – upgrade to PostgreSQL ${to}`;
    byId("basis").textContent = model.bases.join(" ");
    byId("databases-label").textContent = "Results";
  }
  byId("summary").textContent = [
    count(model.rows.filter(({ reached }) => reached || !model.isCheck).length, "database"),
    count(servers, "server"),
    count(model.extensions.length, "extension"),
    modes[Mode] ?? text(Mode),
    StartedAt && `started ${moment(StartedAt)}${seconds >= 0 ? `, took ${took}` : ""}`,
  ].filter(Boolean).join(" · ");
  byId("incomplete").hidden = Complete !== false;
}

function clear() {
  byId("search").value = "";
  byId("extension").value = "";
  Object.assign(wanted, { words: [], extension: "", cause: "" });
  wanted.states.clear();
  wanted.cells.clear();
  drawChips();
  drawReasons();
  refresh();
  byId("search").focus();
}

byId("extension").append(...model.extensions.map((name) => element("option", { value: name }, name)));
byId("extension").addEventListener("change", ({ target }) => {
  wanted.extension = target.value;
  drawChips();
  refresh();
});
byId("search").addEventListener("input", ({ target }) => {
  wanted.words = target.value.toLowerCase().split(/\s+/).filter(Boolean);
  refresh();
});
byId("clear").addEventListener("click", clear);
addEventListener("keydown", (event) => {
  // As in most lists; not while something is typed, or beneath the dialog.
  if (event.key !== "/" || event.target.matches("input, select") || byId("details").open) return;
  event.preventDefault();
  byId("search").focus();
});

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
function toldTheme() {
  byId("theme").ariaPressed = String(isDark());
}
byId("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  toldTheme();
});
dark.addEventListener("change", toldTheme);

toldTheme();
drawSummary();
drawChips();
drawReasons();
refresh();
