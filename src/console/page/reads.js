// The last reads, with crops and clips: asked for with purpose and case, one picture at a time.
"use strict";

const Reads = (() => {
  let cursor = null;
  let shown = null;   // the address of the picture or clip that is shown: its bytes are the page's until it is given back
  let asked = 0;      // of questions for one: a later one counts

  const why = () => ({ purpose: $("reads-purpose").value, case: $("reads-case").value.trim() });

  /** Shows this in place of what was there. */
  function put(child, url) {
    $("evidence").replaceChildren(...(child ? [child] : []));
    if (shown) URL.revokeObjectURL(shown);
    shown = url || null;
  }

  async function evidence(row, which) {
    asked += 1;
    const own = asked;
    put(el("p", { class: "hint" }, "Asking …"));
    try {
      const answer = await (await ask("/api/evidence", { ...why(), id: row.id, which })).blob();
      if (own !== asked) return;
      const url = URL.createObjectURL(answer);
      const words = `${which} of the read of ${time(row.at)} UTC, camera ${row.camera}`;
      const node = which === "clip"
        ? el("video", { src: url, controls: true, "aria-label": words })
        : el("img", { src: url, alt: words });
      put(el("figure", {}, node, el("figcaption", { class: "hint" }, words)), url);
      $("evidence").scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (own === asked) put(el("p", { class: "notice" }, error.message));
    }
  }

  function line(row) {
    const buttons = ["crop", "scene", "clip"].map((which) => {
      const button = el("button", { type: "button", "aria-label": `${which} of the read of ${row.at}` }, which);
      button.addEventListener("click", () => evidence(row, which));
      return button;
    });
    return el("tr", {},
      el("td", {}, time(row.at)), el("td", {}, row.camera),
      el("td", { class: "plate" }, row.plate || "–"),
      el("td", { class: "n" }, row.permille === null ? "–" : `${(row.permille / 10).toFixed(0)} %`),
      el("td", {}, ...buttons));
  }

  async function page(more) {
    const body = $("reads-table").tBodies[0];
    if (!more) {
      // What was asked before is not taken for the answer.
      body.replaceChildren();
      asked += 1;
      put(el("p", { class: "hint" }, "Asking …"));
    }
    try {
      const question = { ...why(), camera: $("reads-camera").value };
      if (more) question.cursor = cursor;
      const told = await (await ask("/api/reads", question)).json();
      if (!more) { body.replaceChildren(); put(null); }
      body.append(...told.rows.map(line));
      cursor = told.next;
      $("reads-table").hidden = false;
      $("reads-more").hidden = !cursor;
      say(body.rows.length ? "" : "No reads are kept.");
    } catch (error) {
      asked += 1;
      put(el("p", { class: "notice" }, error.message));
    }
  }

  function begin() {
    if (fixed.reads) {
      $("reads-closed").textContent = fixed.reads;
      $("reads-closed").hidden = false;
      $("reads-form").hidden = true;
      return;
    }
    $("reads-form").addEventListener("submit", (event) => { event.preventDefault(); page(false); });
    $("reads-more").addEventListener("click", () => page(true));
  }

  return { begin };
})();
