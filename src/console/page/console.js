// The console's page: the views that tell how the box is. Everything comes from this box, and text is never taken for markup.
"use strict";

/** An element with attributes, a class, and children: texts or elements. */
function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const $ = (id) => document.getElementById(id);
const VIEWS = ["cameras", "picture", "reads", "doctor", "health", "outbox", "audit"];
const EVERY_MS = 2000;
let fixed = null;
let before = null;
const ACTED_MS = 2000;
let acted = true;   // a person did something since the box was last asked
let actedAt = 0;    // and when, milliseconds of the page

/** Keys, wheel and pointer are what a person does; that the page asks by itself keeps no session open. */
function act(event) {
  if (!event.isTrusted) return;
  // Some browsers tell of a pointer that lies still while the page changes below it.
  if (event.type === "pointermove" && !event.movementX && !event.movementY) return;
  acted = true;
  actedAt = performance.now();
}

function say(words) {
  if ($("news").textContent !== words) $("news").textContent = words;
}

/** Asks the box; an Error says in words why not. */
async function ask(path, body) {
  const options = { headers: {} };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    options.headers["Content-Type"] = "application/json";
  }
  // What is asked at the same moment by itself is not to take it from what the person asks.
  const person = acted || performance.now() - actedAt < ACTED_MS;
  if (person) options.headers["Watchpost-Acted"] = "1";
  acted = false;
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    acted = acted || person;
    throw new Error("The box does not answer.");
  }
  if (answer.status === 401) {
    // The form for the token, with a word about why.
    history.replaceState(null, "", "/#over");
    location.reload();
    throw new Error("The session is over.");
  }
  if (!answer.ok) {
    const text = await answer.text();
    let words = text;
    try { words = JSON.parse(text).error; } catch { /* a line of text */ }
    throw new Error(words.trim() || answer.statusText);
  }
  return answer;
}

const count = (n) => (n === null || n === undefined ? "–" : Number(n).toLocaleString("en"));

function bytes(n) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at + 1 < units.length) { n /= 1024; at += 1; }
  return `${n.toLocaleString("en", { maximumFractionDigits: at ? 1 : 0 })} ${units[at]}`;
}

function span(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  const [size, unit] = parts[at];
  const [next, small] = parts[at + 1] || [];
  const rest = next ? Math.floor((seconds % size) / next) : 0;
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${small}` : ""}`;
}

/** A time as people read it. */
const time = (text) => text.replace("T", " ").replace(/\.\d+Z$/, "");

function terms(pairs) {
  const list = el("dl");
  for (const [term, value] of pairs) {
    if (value === undefined || value === null) continue;
    list.append(el("dt", {}, term), el("dd", {}, value instanceof Node ? value : String(value)));
  }
  return list;
}

/** Puts children in, only where they differ from what is there: focus and screen readers stay where they are. */
function fill(parent, ...children) {
  const next = el(parent.tagName);
  next.append(...children);
  if (next.innerHTML === parent.innerHTML) return;
  const held = parent.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  parent.replaceChildren(...children);
  const again = held && [...parent.querySelectorAll("a")].find((link) => link.getAttribute("href") === held);
  if (again) again.focus({ preventScroll: true });
}

function rate(now, camera, key) {
  const old = before && before.cameras.find((c) => c.id === camera.id);
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  if (!old || seconds < 0.5 || camera[key] === null) return "–";
  return Math.max(0, (camera[key] - old[key]) / seconds).toFixed(1);
}

function cameras(now) {
  const card = (camera) => el("article", { class: "card", "aria-label": `Camera ${camera.id}` },
    el("h3", {}, camera.id, el("span", { class: `state ${camera.state}` }, camera.state)),
    camera.road ? el("p", {}, camera.road) : null,
    camera.why ? el("p", { class: "why" }, camera.why) : null,
    terms([
      ["Frames a second", rate(now, camera, "received")],
      ["Analysed a second", rate(now, camera, "analysed")],
      ["Reads", count(camera.reads)],
      ["Passed unread", count(camera.unread)],
      ["Hits", count(camera.hits)],
      ["Dropped", count(camera.dropped)],
      ["Newest frame", camera.frame_age_ms === null ? "none yet" : `${(camera.frame_age_ms / 1000).toFixed(1)} s ago`],
    ]),
    el("a", { href: `#picture/${camera.id}` }, "Look at its picture"));
  const none = el("p", { class: "notice" }, "No camera is configured: watchpost probe gives the block for one.");
  fill($("cards"), ...(now.cameras.length ? now.cameras.map(card) : [none]));
}

function doctor(now) {
  $("doctor-well").hidden = now.causes.length > 0;
  fill($("causes"), ...now.causes.map((cause) => el("li", { class: cause.level },
    el("strong", {}, `${cause.about}: `), cause.what,
    el("p", { class: "hint" }, `What to do: ${cause.do}`))));
  const worst = now.cameras.find((c) => c.state === "degraded") || now.cameras[0];
  const command = `watchpost doctor ${worst ? worst.id : ""} --html doctor.html`;
  if ($("doctor-command").textContent !== command) $("doctor-command").textContent = command;
}

function group(title, pairs) {
  return el("div", { class: "card" }, el("h3", {}, title), terms(pairs));
}

function health(now) {
  const h = now.health;
  const models = el("span", {}, (h.models || []).map((m) => m.name).join(", ") || "none");
  fill($("facts"),
    group("Daemon", [
      ["Version", h.software], ["Runs for", span(h.uptime_s)], ["Clock", `${h.clock}, ${time(h.time)} UTC`],
      ["Models", models], ["Faults of the store", count(h.store_faults)], ["Newest alert", h.last_alert ? `${time(h.last_alert)} UTC` : "none yet"],
    ]),
    group("Machine", [
      ["Disk free", `${bytes(h.disk.free)} of ${bytes(h.disk.total)}`],
      ["Memory free", `${bytes(h.memory.available)} of ${bytes(h.memory.total)}`],
      ["Daemon's memory", `${bytes(h.process.resident)}, at most ${bytes(h.process.peak)}`],
      ["Processor time", span(Math.round(h.process.cpu_ms / 1000))],
      ["Threads, open files", `${count(h.process.threads)}, ${count(h.process.files)}`],
    ]),
    group("Hotlists", h.lists.length
      ? h.lists.map((l) => [l.id, `${count(l.entries)} ${l.entries === 1 ? "entry" : "entries"}${l.stale ? ", past its freshness" : ""}${l.fault ? `; newest file refused: ${l.fault}` : ""}`])
      : [["None", "no list is configured"]]),
    group("Works with", h.parts.map((part) => [part.name, part.version])));
}

function outbox(now) {
  const h = now.health;
  const names = ["info", "minor", "serious", "critical"];
  const session = now.centre ? (now.connected ? "connected" : h.fault || "no session") : "this box has no centre";
  fill($("outbox"),
    group("Waiting for the centre", [
      ["Session", session], ["Entries", `${count(h.outbox.entries)} (${bytes(h.outbox.bytes)})`],
      ["Oldest", h.outbox.entries ? span(Math.round(h.outbox.oldest_ms / 1000)) : "–"],
      ...now.waiting.map((n, at) => [names[at], count(n)]).reverse(),
    ]),
    group("Since the start", [
      ["Sent", `${count(h.delivery.sent)}, of these again ${count(h.delivery.resent)}`],
      ["Acknowledged", count(h.delivery.acked)], ["Shed", count(h.shed)],
      ["Sessions", count(h.delivery.connects)], ["Refused", count(h.delivery.refused)],
      ["Last loss", h.last_loss ? `${time(h.last_loss.at)}: ${h.last_loss.why}` : "none"],
    ]));
}

function audit(now) {
  const h = now.health;
  fill($("head"), ...terms([
    ["Records", count(h.audit.size)], ["Root", el("code", {}, h.audit.root)],
    ["Store's epoch", el("code", {}, h.epoch)], ["Newest number given", count(h.last_seq)],
  ]).children);
}

function show(now) {
  $("box").textContent = `${now.site} / ${now.box}`;
  document.title = `${now.box} – Watchpost`;
  cameras(now); doctor(now); health(now); outbox(now); audit(now);
}

async function tick() {
  try {
    const now = await (await ask("/api/state")).json();
    now.at = performance.now();
    show(now);
    before = now;
    say("");
  } catch (error) {
    say(error.message);
  }
}

function route() {
  const [wanted, camera] = location.hash.slice(1).split("/");
  const view = VIEWS.includes(wanted) ? wanted : "cameras";
  for (const name of VIEWS) $(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  Picture.shown(view === "picture", camera);
}

function options(select, values) {
  select.append(...values.map((value) => el("option", { value }, value)));
}

async function begin() {
  for (const kind of ["pointerdown", "pointermove", "wheel", "keydown"]) {
    addEventListener(kind, act, { capture: true, passive: true });
  }
  try {
    fixed = await (await ask("/api/fixed")).json();
  } catch (error) {
    say(error.message);
    return;
  }
  for (const id of ["look-purpose", "reads-purpose"]) {
    $(id).append(el("option", { value: "" }, "choose"));
    options($(id), fixed.purposes);
  }
  for (const id of ["look-camera", "reads-camera"]) options($(id), fixed.cameras.map((c) => c.id));
  Picture.begin();
  Reads.begin();
  addEventListener("hashchange", () => { route(); $("main").focus(); });
  route();
  await tick();
  setInterval(() => { if (!document.hidden) tick(); }, EVERY_MS);
  // What a page in the background did not ask is shown no longer than that.
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
}

addEventListener("DOMContentLoaded", begin);
