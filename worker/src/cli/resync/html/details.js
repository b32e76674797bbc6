// One database in full, in a dialog beside the table.

/** `onClosed(index)` gets the index of the row that was shown; `rowAt(index)` gives the row, or nothing beyond the ends. */
function details(rowAt, onClosed) {
  const dialog = document.getElementById("details");
  const body = document.getElementById("details-body");
  const [previous, next] = [document.getElementById("previous"), document.getElementById("next")];
  let at = 0;

  function open(index) {
    const row = rowAt(index);
    if (!row) return;
    at = index;
    document.getElementById("details-title").textContent = row.name;
    body.replaceChildren(...describe(row));
    body.scrollTop = 0;
    previous.disabled = !rowAt(index - 1);
    next.disabled = !rowAt(index + 1);
    if (!dialog.open) dialog.showModal();
    // A disabled button keeps the focus to itself, and the keys with it.
    if (!document.activeElement || document.activeElement.disabled) document.getElementById("close").focus();
  }

  previous.addEventListener("click", () => open(at - 1));
  next.addEventListener("click", () => open(at + 1));
  document.getElementById("close").addEventListener("click", () => dialog.close());
  // The dialog's own area is its children's: what hits the dialog itself is beside it.
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  dialog.addEventListener("close", () => onClosed(at));
  return { open };
}

function describe(row) {
  const { result } = row;
  const { style, sign, word } = look(row.state);
  const state = element("p", { className: `state ${style}` }, element("span", { className: "sign", ariaHidden: "true" }, sign), word);
  const facts = [
    ["Database", text(result.Database) || (row.findings.length ? "the server as a whole" : "not reached")],
    ["Server", row.server || "not known"],
    ["PostgreSQL", row.version || "not known"],
    ["Target", text(result.Target)],
    ["Mode", text(result.Mode)],
    ["Looked at", moment(result.At)],
    ["Took", typeof result.Milliseconds === "number" ? `${result.Milliseconds.toLocaleString("en")} ms` : ""],
  ];
  const changes = list(result.Changes).map(text);
  return [
    state,
    ...(row.reason ? [element("p", { className: "reason" }, row.reason)] : []),
    element("dl", {}, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    ...(changes.length ? [element("h3", {}, "Changes"), element("pre", { tabIndex: 0 }, changes.join(";\n") + ";")] : []),
    ...(row.findings.length ? [element("h3", {}, "Findings"), ...findingsOf(row)] : []),
    ...(row.reached || !row.findings.length ? [element("h3", {}, "Extensions"),
      row.extensions.size ? extensionsOf(row) : element("p", { className: "muted" }, "None is known.")] : []),
    ...basesOf([row]).map((basis) => element("p", { className: "basis muted" }, basis)),
  ];
}

/** What an upgrade meets, the worst first, each with what mends it. */
function findingsOf(row) {
  const findings = [...row.findings].sort((a, b) => lookOfFinding(b).severity - lookOfFinding(a).severity);
  return findings.map((finding) => {
    const { style, sign, word } = lookOfFinding(finding);
    const head = element("p", {}, mark("span", { style, sign, word }, `${word}: `), element("b", {}, text(finding.Object)),
      element("span", { className: "muted" }, ` ${text(finding.Code)}`));
    const remedy = text(finding.Remedy);
    return element("div", { className: `finding ${style}` }, head, element("p", {}, text(finding.Reason)),
      ...(remedy ? [element("pre", { tabIndex: 0 }, remedy)] : []));
  });
}

function extensionsOf(row) {
  // A check looks at no declarations, and the default is the target's.
  const isCheck = row.result.Mode === "UpgradeCheck";
  const further = isCheck ? ["Default of the target"] : ["Default", "Declared", "Schema", "Change", "Declared by"];
  const headings = ["Extension", "State", "Installed", ...further];
  const extensions = [...row.extensions.values()].sort(
    (a, b) => look(b.State).severity - look(a.State).severity || collator.compare(text(a.Name), text(b.Name)),
  );
  // A physical id begins with the server, which is shown above.
  const owner = (id) => (row.server && text(id).startsWith(`${row.server}/`) ? text(id).slice(row.server.length + 1) : text(id));
  const lines = extensions.map((extension) => {
    const cell = (value) => element("td", {}, text(value) || "–");
    const state = mark("td", look(extension.State), look(extension.State).word);
    if (extension.BlocksMajorUpgrade) state.append(element("div", { className: "blocks" }, `${BLOCKS.sign} ${BLOCKS.word}`));
    const { Installed, Default, Declared, Schema, Owners, Change } = extension;
    const further = isCheck ? [] : [cell(Declared), cell(Schema), cell(Change), cell(list(Owners).map(owner).join("\n"))];
    return element("tr", {}, element("th", { scope: "row" }, text(extension.Name)), state, cell(Installed), cell(Default), ...further);
  });
  const head = element("tr", {}, ...headings.map((name) => element("th", { scope: "col" }, name)));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines));
  return element("div", { className: "wide" }, table);
}
