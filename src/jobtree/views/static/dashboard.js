// The pages of the dashboard. All texts go through textContent: nothing that a target says is ever parsed.
"use strict";
(() => {
  const at = id => document.getElementById(id);
  const { duration, size, number } = Charts;
  let now = null, pictured = -1, following = null;

  async function ask(path, body) {
    const given = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, given);
    if ((answer.headers.get("content-type") || "").startsWith("application/json")) {
      const document = await answer.json();
      if (!answer.ok) throw new Error(document.error);
      return document;
    }
    throw new Error(await answer.text());
  }

  // What could hide or turn round the text beside it is shown by its number, as on a terminal.
  const plain = text => String(text).replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, found => {
    const code = found.charCodeAt(0);
    return code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0");
  });

  function make(tag, text, kind) {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = plain(text);
    if (kind) element.className = kind;
    return element;
  }

  // columns: [title, left?]; cells are texts, or elements.
  function table(columns, rows) {
    const drawn = make("table"), head = drawn.insertRow();
    for (const [title, left] of columns) head.append(make("th", title, left ? "left" : ""));
    for (const row of rows) {
      const line = drawn.insertRow();
      row.forEach((cell, i) => {
        const place = make("td", undefined, columns[i][1] ? "left" : "");
        place.append(cell instanceof Node ? cell : document.createTextNode(plain(cell ?? "")));
        line.append(place);
      });
    }
    return drawn;
  }

  function facts(element, pairs) {
    element.replaceChildren(...pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined).map(([what, value]) => {
      const box = make("div");
      box.append(make("dt", what), make("dd", value));
      return box;
    }));
  }

  const some = count => (count ? number(count) : "");
  const percent = share => Math.round(share * 100) + "%";

  function showOverview(run) {
    const c = run.counts, total = Object.values(c).reduce((a, b) => a + b, 0);
    facts(at("facts"), [
      ["targets done", `${number(c.done)} of ${number(total)}`], ["running", some(c.running)], ["ready", some(c.ready)], ["failed", some(c.failed)],
      ["blocked", some(c.blocked)], ["retries", some(run.retries)], ["lost with a worker", some(run.lost)], ["run time", duration(run.elapsed)],
      ["left for what is known", run.seconds_left === null ? "" : "about " + duration(Math.max(1, Math.round(run.seconds_left)))],
      ["workers", number(run.workers_total)], ["utilisation", percent(run.utilisation)], ["core-hours", (run.core_seconds / 3600).toPrecision(3)],
    ]);
    const part = (count, kind) => { const bar = make("i", undefined, kind); bar.style.width = (100 * count / Math.max(1, total)) + "%"; return bar; };
    at("whole").replaceChildren(part(c.done + c.waiting, "part-done"), part(c.failed + c.blocked + c.cancelled, "part-failed"), part(c.running, "part-running"));
    at("names").replaceChildren(table([["name", true], ["", true], ["done"], ["running"], ["ready"], ["waiting"], ["held"], ["failed"], ["blocked"], ["retries"], ["all"]], run.names.map(one => {
      const k = one.counts, all = Object.values(k).reduce((a, b) => a + b, 0), bar = make("progress");
      bar.max = all; bar.value = k.done + k.waiting;
      return [one.name, bar, some(k.done), some(k.running), some(k.ready), some(k.waiting), some(k.held + k.provisional), some(k.failed), some(k.blocked), some(one.retries), number(all)];
    })));
    at("hints-box").hidden = !run.hints.length;
    at("hints").replaceChildren(table([["name", true], ["what", true], ["asked"], ["used"], ["would do"]], run.hints.map(hint => {
      const shown = value => (hint.request === "memory" ? size(value) : String(Math.round(value * 10) / 10));
      return [hint.name, hint.request, shown(hint.asked), shown(hint.used), shown(hint.suggested)];
    })));
  }

  function showWorkers(run) {
    at("workers").replaceChildren(table([["worker", true], ["cpus"], ["memory"], ["holds"], ["ended"], ["busy"], ["there for"]], run.workers.map(worker => {
      const there = Math.max(0.001, Date.now() / 1000 - worker.joined_at);
      return [worker.name, worker.cpus, size(worker.memory), number(worker.holding), number(worker.targets), percent(Math.min(1, worker.busy / there / worker.cpus)), duration(Math.round(there))];
    })));
    at("blocks").replaceChildren(table([["block", true], ["pool", true], ["workers"], ["state", true], ["ended"], ["last reason", true]], run.blocks.map(block => [block.name, block.pool, number(block.n), block.state, some(block.ended), block.reason])));
    at("control").hidden = !run.control;
  }

  function showFailures(run) {
    const opened = new Set([...at("failures").querySelectorAll("details[open]")].map(element => element.dataset.key));
    at("failures").replaceChildren(...(run.failures.length ? run.failures.map(group => {
      const box = make("details"), head = make("summary"), key = [group.name, group.cause, group.where].join("\n");
      box.dataset.key = key;
      box.open = opened.has(key);
      const last = group.message.trim().split("\n").pop();
      head.append(make("b", `${number(group.count)} × ${group.name} `), make("span", group.cause, "failed"), document.createTextNode(plain(`: ${last}${group.where ? " at " + group.where : ""}`)));
      const ids = make("p", "targets ", "note");
      for (const id of group.ids) { const link = make("a", String(id)); link.href = "#/target/" + id; ids.append(link, " "); }
      if (group.count > group.ids.length) ids.append("…");
      box.append(head, ids, make("pre", group.output || group.message));
      return box;
    }) : [make("p", "nothing has failed", "note")]));
  }

  async function showPictures() {
    const document = await ask("/api/pictures");
    Charts.timeline(at("timeline"), document.timeline);
    Charts.usage(at("usage"), document.usage);
    at("timeline").dataset.bars = document.timeline.bars.length;
  }

  async function openPlace(element, above) {
    const found = await ask("/api/places?above=" + above);
    for (const place of found.places) {
      const box = make("details", undefined, "place"), head = make("summary");
      head.append(make("b", place.name), make("span", `${number(place.attempts)} ${place.attempts === 1 ? "attempt" : "attempts"}, ${duration(place.seconds)}${place.failed ? `, ${number(place.failed)} failed` : ""}`, "note"));
      const list = make("button", "attempts", "small");
      list.addEventListener("click", event => { event.preventDefault(); showAttempts(box, place.path, 0); });
      head.append(list);
      box.append(head);
      let loaded = false;
      box.addEventListener("toggle", () => { if (box.open && !loaded) { loaded = true; if (place.deeper) openPlace(box, place.path); else showAttempts(box, place.path, 0); } });
      element.append(box);
    }
    if (found.more) element.append(make("p", `and ${number(found.more)} more`, "note"));
  }

  async function showAttempts(box, path, first) {
    const found = await ask(`/api/targets?path=${path}&first=${first}`);
    box.open = true;
    const rows = make("div", undefined, "scroll");
    rows.append(attempts(found.attempts, true));
    box.append(rows);
    if (first + found.attempts.length < found.total) {
      const more = make("button", `more (${number(found.total - first - found.attempts.length)})`, "small");
      more.addEventListener("click", () => { more.remove(); showAttempts(box, path, first + found.attempts.length); });
      box.append(more);
    }
  }

  function attempts(rows, linked) {
    return table([["target"], ["end", true], ["worker", true], ["waited"], ["took"], ["cpu"], ["peak"], ["of asked"]], rows.map(row => {
      const link = make("a", String(row.target));
      link.href = "#/target/" + row.target;
      return [linked ? link : String(row.target), make("span", row.cause || "done", row.cause ? "failed" : ""), row.worker, row.wait === null ? "" : duration(row.wait), duration(row.wall), duration(row.cpu), size(row.memory), row.asked_memory ? percent(row.memory / row.asked_memory) : ""];
    }));
  }

  async function showTarget(id, again) {
    const target = await ask("/api/target/" + id);
    if (where()[1] !== id) return; // the reader has gone on
    at("target-title").textContent = plain(`${target.name}:${target.id}`);
    facts(at("target-facts"), [["state", target.state], ...Object.entries(target.asked).map(([key, value]) => ["asked " + key, key === "memory" ? size(Number(value)) : value])]);
    const failed = Boolean(target.failure.cause), why = target.why.join("\n");
    at("target-why").hidden = failed || !why;
    at("target-why").textContent = why;
    at("target-attempts").replaceChildren(target.attempts.length ? attempts(target.attempts, false) : make("p", "none has ended yet", "note"));
    at("target-failure").hidden = !failed;
    if (failed) at("target-output").textContent = plain(why + (target.failure.output.split("\n").length > 30 ? "\n\n" + target.failure.output : ""));
    at("target-actions").hidden = !(now && now.control);
    at("do-retry").hidden = !["failed", "cancelled"].includes(target.state);
    at("do-cancel").hidden = ["done", "failed", "cancelled"].includes(target.state);
    if (again) return;
    at("target-log").textContent = target.log.join("\n");
    at("target-log").scrollTop = at("target-log").scrollHeight;
    follow("/events/log?target=" + id, at("target-log"), now && now.state === "running" && target.state !== "done");
  }

  function follow(path, element, really) {
    unfollow();
    if (!really) return;
    element.textContent = "";
    following = new EventSource(path);
    following.onmessage = event => {
      const lines = JSON.parse(event.data);
      const atEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 20;
      element.append(lines.join("\n") + "\n");
      if (element.textContent.length > 400000) element.textContent = element.textContent.slice(-200000);
      if (atEnd) element.scrollTop = element.scrollHeight;
    };
    following.addEventListener("end", unfollow);
  }

  function unfollow() {
    if (following) following.close();
    following = null;
  }

  const pages = { overview: showRun, recursion: () => { at("places").replaceChildren(); openPlace(at("places"), -1); }, workers: showRun, failures: showRun, log: showLog, target: id => showTarget(id, false) };

  async function showLog() {
    at("log").textContent = (await ask("/api/log")).lines.join("\n") + "\n";
    at("log").scrollTop = at("log").scrollHeight;
    follow("/events/log", at("log"), now && now.state === "running");
  }

  function showRun() {
    if (!now) return;
    showOverview(now);
    showWorkers(now);
    showFailures(now);
    if (where()[0] === "overview" && pictured !== now.records) { pictured = now.records; showPictures().catch(complain); }
  }

  const where = () => { const [name, what] = location.hash.replace(/^#\/?/, "").split("/"); return [pages[name] ? name : "overview", what]; };

  function route() {
    unfollow();
    const [name, what] = where();
    for (const page of Object.keys(pages)) at("page-" + page).hidden = page !== name;
    for (const link of document.querySelectorAll("nav a")) link.classList.toggle("here", link.getAttribute("href").replace(/^#\/?/, "") === (name === "overview" ? "" : name));
    Promise.resolve(pages[name](what)).catch(complain);
  }

  function complain(error) { at("contact").textContent = error.message; }

  const wish = (verb, about, place) => ask("/api/control/" + verb, about).then(answer => { place.textContent = JSON.stringify(answer); }, error => { place.textContent = error.message; });
  at("do-scale").addEventListener("click", () => wish("scale", { most: Number(at("scale").value) }, at("answer")));
  at("do-stop").addEventListener("click", () => { if (confirm("Stop the run? It can be restarted.")) wish("stop", {}, at("answer")); });
  at("do-retry").addEventListener("click", () => wish("retry", { targets: [Number(where()[1])] }, at("target-answer")));
  at("do-cancel").addEventListener("click", () => { if (confirm("Cancel this target and all below it?")) wish("cancel", { targets: [Number(where()[1])] }, at("target-answer")); });
  at("find").addEventListener("submit", event => { event.preventDefault(); const id = at("wanted").value.split(":").pop().trim(); if (/^\d+$/.test(id)) location.hash = "#/target/" + id; });

  const events = new EventSource("/events");
  events.onmessage = event => {
    const before = now;
    now = JSON.parse(event.data);
    if (where()[0] === "target" && (!before || before.records !== now.records)) showTarget(where()[1], Boolean(before)).catch(complain);
    at("tree").textContent = now.tree;
    document.title = `${now.state}: ${now.tree}`;
    at("state").textContent = now.state;
    at("state").className = "state " + now.state;
    at("contact").textContent = "";
    if (["overview", "workers", "failures"].includes(where()[0])) showRun();
    document.documentElement.dataset.records = now.records;
  };
  events.addEventListener("gone", event => { events.close(); at("contact").textContent = JSON.parse(event.data); });
  events.onerror = () => { at("contact").textContent = "no contact to the dashboard; trying again"; };
  addEventListener("hashchange", route);
  route();
})();
