"use strict";
// What the report says, in the form in which the page asks for it. Knows nothing of the document, but for `element`,
// the only way in which texts get there.

// What needs a person comes first: the higher, the more urgent.
const STATES = new Map([
  ["Failed", { style: "failed", sign: "✕", word: "failed", severity: 6 }],
  ["Blocked", { style: "failed", sign: "✕", word: "blocked", severity: 6 }],
  ["NeedsSteps", { style: "drifted", sign: "!", word: "needs steps", severity: 5 }],
  ["Drifted", { style: "drifted", sign: "≠", word: "drifted", severity: 5 }],
  ["Outdated", { style: "outdated", sign: "↑", word: "outdated", severity: 4 }],
  ["Repaired", { style: "repaired", sign: "↻", word: "repaired", severity: 3 }],
  ["Unmanaged", { style: "unmanaged", sign: "○", word: "unmanaged", severity: 2 }],
  ["InSync", { style: "in-sync", sign: "✓", word: "in sync", severity: 1 }],
  ["Ready", { style: "in-sync", sign: "✓", word: "ready", severity: 1 }],
  ["Absent", { style: "absent", sign: "∅", word: "absent", severity: 0 }],
]);
// What a check before an upgrade finds, the worst first.
const FINDINGS = new Map([
  ["Blocks", { style: "failed", sign: "✕", word: "blocks the upgrade", short: "block", severity: 6 }],
  ["StepBefore", { style: "drifted", sign: "!", word: "step before", short: "before", severity: 5 }],
  ["StepAfter", { style: "outdated", sign: "↑", word: "step after", short: "after", severity: 4 }],
  ["Note", { style: "unmanaged", sign: "○", word: "note", short: "note", severity: 2 }],
]);
// A mark beside the states: an extension has both.
const BLOCKS = { style: "blocks", sign: "⚑", word: "blocks major upgrade" };
// Both in characters: what lies beyond is in the details.
const NARROWEST = 7;
const WIDEST = 34;

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** An element with properties and children; texts among these become text nodes, whatever they hold. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function text(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

/** A state's look; one that this page does not know is shown by its name. */
function look(state) {
  return STATES.get(state) ?? { style: "unknown", sign: "?", word: text(state) || "unknown", severity: 7 };
}

function lookOfFinding(finding) {
  return FINDINGS.get(finding.Severity) ?? { style: "unknown", sign: "?", word: text(finding.Severity), short: text(finding.Severity), severity: 7 };
}

/** The model: `rows` in the order of the report, `columns` from left to right. */
function read(report) {
  const isCheck = report.Mode === "UpgradeCheck";
  // There the newer version is the target's, and comes with the upgrade.
  if (isCheck) STATES.get("Outdated").word = "update after";
  const rows = list(report.Results).map(rowOf);
  const ending = commonEnding(rows.map((row) => row.server).filter(Boolean));
  for (const row of rows) row.host = row.server.slice(0, row.server.length - ending.length);
  const names = new Set(rows.flatMap((row) => [...row.extensions.keys()]));
  const extensions = [...names].sort(collator.compare);
  const columns = [...plainColumns(ending, isCheck), ...extensions.map(extensionColumn)];
  return { report, rows, extensions, columns, isCheck, bases: basesOf(rows) };
}

function rowOf(result) {
  const extensions = new Map(list(result.Extensions).map((extension) => [text(extension.Name), extension]));
  const row = {
    result,
    // Where no database was reached, the target is all that is known.
    name: text(result.Database) || text(result.Target),
    reached: Boolean(result.Database),
    server: text(result.Server),
    version: text(result.ServerVersion),
    state: text(result.State),
    reason: text(result.Reason),
    findings: list(result.Findings),
    extensions,
  };
  const owners = [...extensions.values()].flatMap((extension) => list(extension.Owners));
  row.causes = causesOf(row);
  // Where there is no extension to show, it stands in the row.
  const objects = row.findings.map(({ Object }) => text(Object)).join(", ");
  row.why = row.reason || (row.reached || !objects ? "" : `the server as a whole: ${objects}`);
  const found = row.findings.flatMap(({ Code, Object, Remedy }) => [Code, Object, Remedy]);
  row.searched = [row.name, row.server, result.Target, row.reason, ...owners, ...found].map(text).join("\n").toLowerCase();
  return row;
}

/** The reason without what names the database, so that one cause is one, however many databases it struck. */
function causeOf({ result, reason, server }) {
  const host = server.replace(/:\d+$/, "");
  return [server, host, text(result.Target), text(result.Database)]
    // A short name may be part of any word.
    .filter((name) => name.length > 3)
    .reduce((cause, name) => cause.replaceAll(name, "…"), reason);
}

/** What a row has to say that others may say too: each with its look, its text without the database's name, and its own. */
function causesOf(row) {
  const findings = row.findings.map((finding) => {
    const says = `${text(finding.Object)}: ${text(finding.Reason)}`;
    return { key: `${text(finding.Severity)} ${text(finding.Code)} ${says}`, says, whole: says, look: lookOfFinding(finding) };
  });
  if (!row.reason) return findings;
  const says = causeOf(row);
  return [{ key: says, says, whole: row.reason, look: look(row.state) }, ...findings];
}

/** How many findings of each kind: `1 block, 2 after`. */
function countsOf(row) {
  return [...FINDINGS].flatMap(([severity, { short }]) => {
    const number = row.findings.filter((finding) => finding.Severity === severity).length;
    return number ? [`${number} ${short}`] : [];
  }).join(", ");
}

/** What the findings about extensions stand on, each once. */
function basesOf(rows) {
  const bases = rows.flatMap(({ result: { Basis } }) =>
    Basis ? [`What PostgreSQL ${text(Basis.To)} offers is ${Basis.IsRead ? "read" : "known"} from ${text(Basis.Source)}.`] : []);
  return [...new Set(bases)];
}

/** Whether it is an IP address, with a port: its parts are no names. */
function isAddress(server) {
  return /^\d+(\.\d+){3}(:\d+)?$/.test(server) || /:.*:/.test(server);
}

/** What all servers' names end with from a dot on, like the domain and the port: it would say nothing in a row. */
function commonEnding(servers) {
  if (servers.length < 2 || servers.some(isAddress)) return "";
  const parts = servers.map((server) => server.split(/(?=\.)/));
  const [first, ...others] = parts;
  let length = Math.min(...parts.map((those) => those.length)) - 1;
  while (length > 0 && !others.every((those) => those.slice(-length).join("") === first.slice(-length).join(""))) length -= 1;
  return length > 0 ? first.slice(-length).join("") : "";
}

function plainColumns(ending, isCheck) {
  const weight = (row) => row.findings.reduce((sum, finding) => sum + 100 ** Math.max(0, lookOfFinding(finding).severity - 3), 0);
  const column = (label, value, more) => ({ label, value, first: "ascending", compare: byText(value), ...more });
  return [
    column("Database", (row) => row.name),
    column("State", (row) => look(row.state).word, {
      first: "descending",
      compare: (a, b) => look(a.state).severity - look(b.state).severity,
    }),
    ...(isCheck ? [column("Findings", countsOf, { first: "descending", compare: (a, b) => weight(a) - weight(b) })] : []),
    column("Server", (row) => row.host, { note: ending && `*${ending}` }),
    column("PostgreSQL", (row) => row.version),
  ];
}

function extensionColumn(name) {
  const of = (row) => row.extensions.get(name);
  const severity = (row) => (of(row) ? look(of(row).State).severity : -1);
  const byVersion = byText((row) => text(of(row)?.Installed));
  return {
    label: name,
    extension: name,
    value: (row) => (of(row) ? versionOf(of(row)) : ""),
    first: "descending",
    compare: (a, b) => severity(a) - severity(b) || byVersion(a, b),
  };
}

function byText(value) {
  return (a, b) => collator.compare(value(a), value(b));
}

/** What a cell says: the version, and where it ought to go. */
function versionOf(extension) {
  const installed = text(extension.Installed);
  if (!installed) return look(extension.State).word;
  const target = wantedVersion(extension);
  return target && target !== installed ? `${installed} → ${target}` : installed;
}

function wantedVersion(extension) {
  const declared = text(extension.Declared);
  if (["Outdated", "NeedsSteps", "Blocked"].includes(extension.State)) return text(extension.Default);
  if (extension.State !== "Drifted") return "";
  // `Declared` may say a word, like default, in place of a version.
  return /^\d/.test(declared) ? declared : text(extension.Default);
}

/** The width that a column needs, in digits' widths: of its heading with the sorting arrow, and of what is below it. */
function widthOf(column, rows) {
  // A sign and its space; a word below is of letters alone.
  const sign = column.extension ? 3 : column.label === "State" ? 4 : 0;
  const longest = rows.reduce((most, row) => Math.max(most, column.value(row).length + sign), column.label.length + 2);
  // Letters are narrower than digits on the average; the cell's padding comes on top.
  return 0.92 * Math.min(WIDEST, Math.max(NARROWEST, longest)) + 2;
}

/** How many of `items` have each state, the most urgent first. */
function tally(states) {
  const counts = new Map();
  for (const state of states) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => look(b).severity - look(a).severity);
}

/** The extensions of a row that the filters are about: all of them, or the one that is asked for. */
function concerned(row, extension) {
  if (!extension) return [...row.extensions.values()];
  return row.extensions.has(extension) ? [row.extensions.get(extension)] : [];
}

/** Whether a row is wanted: every word, and one of the states of either kind that are chosen. */
function matches(row, wanted) {
  const of = concerned(row, wanted.extension);
  return (
    wanted.words.every((word) => row.searched.includes(word)) &&
    (wanted.states.size === 0 || wanted.states.has(row.state)) &&
    (!wanted.cause || row.causes.some(({ key }) => key === wanted.cause)) &&
    (!wanted.extension || of.length > 0) &&
    (wanted.cells.size === 0 ||
      of.some(({ State, BlocksMajorUpgrade }) => wanted.cells.has(text(State)) || (BlocksMajorUpgrade && wanted.cells.has(BLOCKS.word))))
  );
}

/** A point in time as operators write it to each other; anything else as it is. */
function moment(value) {
  return text(value).replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)$/, "$1 $2 UTC");
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
