// The last reads, with crops and clips: asked for with purpose and case, one picture at a time.
"use strict";

const Reads = (() => {
  let cursor = null;

  const why = () => ({ purpose: $("reads-purpose").value, case: $("reads-case").value.trim() });

  async function evidence(row, which) {
    const place = $("evidence");
    place.replaceChildren(el("p", { class: "hint" }, "Asking …"));
    try {
      const answer = await ask("/api/evidence", { ...why(), id: row.id, which });
      const url = URL.createObjectURL(await answer.blob());
      const words = `${which} of the read of ${time(row.at)} UTC, camera ${row.camera}`;
      const shown = which === "clip"
        ? el("video", { src: url, controls: true, "aria-label": words })
        : el("img", { src: url, alt: words });
      place.replaceChildren(el("figure", {}, shown, el("figcaption", { class: "hint" }, words)));
      place.scrollIntoView({ block: "nearest" });
    } catch (error) {
      place.replaceChildren(el("p", { class: "notice" }, error.message));
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
    try {
      const question = { ...why(), camera: $("reads-camera").value };
      if (more) question.cursor = cursor;
      const told = await (await ask("/api/reads", question)).json();
      if (!more) { body.replaceChildren(); $("evidence").replaceChildren(); }
      body.append(...told.rows.map(line));
      cursor = told.next;
      $("reads-table").hidden = false;
      $("reads-more").hidden = !cursor;
      say(body.rows.length ? "" : "No reads are kept.");
    } catch (error) {
      $("evidence").replaceChildren(el("p", { class: "notice" }, error.message));
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
