// The camera's picture: looked at for a purpose, with what is followed drawn in; the ruler, and the editor of zones, lines and masks.
"use strict";

const Picture = (() => {
  const STEP = 0.01;
  const COLOURS = { plate: "#ffd34d", person: "#d79bff" };
  const VEHICLE = "#5ed0ff";
  const OWN = "#ff6b5e";
  let context = null;
  let image = null;       // the newest picture, decoded
  let about = null;       // its size and what is followed in it
  let seen = false;       // the view is open
  let looking = null;     // { camera, purpose, until }
  let held = false;
  let alone = false;      // nobody used the page for too long: no more pictures until somebody says so
  let timer = 0;
  let points = [];        // of the shape under way, shares of the picture
  let cross = [0.5, 0.5]; // the keyboard's place
  let keyed = false;
  let drag = null;

  const tool = () => document.querySelector("input[name=tool]:checked").value;
  const most = () => (tool() === "ruler" || tool() === "line" ? 2 : 32);
  const clamp = (share) => Math.min(1, Math.max(0, share));
  const round = (share) => Math.round(clamp(share) * 10000) / 10000;
  const known = () => fixed.cameras.find((camera) => camera.id === $("look-camera").value);

  function path(shape, closed) {
    const { width, height } = context.canvas;
    context.beginPath();
    shape.forEach(([x, y], at) => (at ? context.lineTo(x * width, y * height) : context.moveTo(x * width, y * height)));
    if (closed) context.closePath();
  }

  function label(text, x, y, colour) {
    context.font = "600 13px system-ui, sans-serif";
    const wide = context.measureText(text).width + 8;
    const left = Math.min(x, context.canvas.width - wide);
    const top = y < 18 ? y + 2 : y - 18;
    context.fillStyle = colour;
    context.fillRect(left, top, wide, 17);
    context.fillStyle = "#0b0e10";
    context.fillText(text, left + 4, top + 13);
  }

  function configured() {
    const camera = known();
    if (!camera) return;
    context.setLineDash([6, 4]);
    context.lineWidth = 1.5;
    for (const [shapes, closed] of [[camera.zones, true], [camera.lines, false]]) {
      for (const shape of shapes) {
        context.strokeStyle = "#8df0b0";
        path(shape.points, closed);
        context.stroke();
        const [x, y] = shape.points[0];
        label(shape.name, x * context.canvas.width, y * context.canvas.height, "#8df0b0");
      }
    }
    context.setLineDash([]);
  }

  function marks() {
    const { width, height } = context.canvas;
    // Plates last: a vehicle's name is not to hide the plate in it.
    const all = about ? [...about.marks].sort((a, b) => (a.class === "plate") - (b.class === "plate")) : [];
    for (const mark of all) {
      const [x1, y1, x2, y2] = mark.rect;
      const colour = COLOURS[mark.class] || VEHICLE;
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.setLineDash(mark.sure ? [] : [3, 3]);
      context.strokeRect(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
      context.setLineDash([]);
      label(mark.sure ? mark.class : `${mark.class}?`, x1 * width, y1 * height, colour);
    }
  }

  function shape() {
    const { width, height } = context.canvas;
    context.strokeStyle = OWN;
    context.fillStyle = "rgba(255, 107, 94, .22)";
    context.lineWidth = 2.5;
    if (tool() === "ruler") {
      const ends = points.length === 1 && keyed ? [points[0], cross] : points;
      if (ends.length === 2) {
        const [[x1, y1], [x2, y2]] = ends;
        context.strokeRect(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
      }
    } else if (points.length > 1) {
      path(points, tool() !== "line");
      if (tool() !== "line") context.fill();
      context.stroke();
    }
    points.forEach(([x, y], at) => {
      context.beginPath();
      context.arc(x * width, y * height, 5, 0, 7);
      context.fillStyle = at ? OWN : "#ffffff";
      context.fill();
      context.stroke();
    });
    if (!keyed) return;
    const [x, y] = [cross[0] * width, cross[1] * height];
    for (const [colour, wide] of [["#0b0e10", 4], ["#ffffff", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.beginPath();
      context.moveTo(x - 14, y); context.lineTo(x + 14, y);
      context.moveTo(x, y - 14); context.lineTo(x, y + 14);
      context.stroke();
    }
  }

  function draw() {
    const canvas = context.canvas;
    context.fillStyle = "#0b0e10";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (image) {
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
    } else {
      context.fillStyle = "#9aa7b2";
      context.font = "15px system-ui, sans-serif";
      context.textAlign = "center";
      context.fillText("Choose a camera and what for, then Look.", canvas.width / 2, canvas.height / 2);
      context.textAlign = "start";
    }
    configured();
    marks();
    shape();
  }

  function ruler() {
    const said = $("ruler-said");
    if (points.length < 2 || !about) {
      said.className = "said";
      said.textContent = about ? "Drag over a plate from edge to edge." : "Look at a camera first, then drag over a plate.";
      return;
    }
    const wide = Math.round(Math.abs(points[1][0] - points[0][0]) * about.width);
    const high = Math.round(Math.abs(points[1][1] - points[0][1]) * about.height);
    const [least, good] = [fixed.min_plate_width, fixed.good_plate_width];
    const [verdict, kind] = wide >= good ? ["enough to be read well", "good"]
      : wide >= least ? [`read at all from ${least}, well from ${good}: zoom in where you can`, "warn"]
      : [`not enough: at least ${least} are needed, ${good} are good. Zoom in, or use the main stream`, "bad"];
    said.className = `said ${kind}`;
    said.textContent = `${wide} × ${high} pixels of ${about.width} × ${about.height}: ${verdict}.`;
  }

  const text = (shape_) => `[${shape_.map(([x, y]) => `[${x}, ${y}]`).join(", ")}]`;

  /** The block for the configuration; empty while the shape is none yet. */
  function block() {
    const name = $("shape-name").value.trim();
    const which = tool();
    if (points.length < (which === "line" ? 2 : 3)) return "";
    const shape_ = points.map(([x, y]) => [round(x), round(y)]);
    if (which === "mask") {
      const masks = [...(known() ? known().masks : []), shape_];
      return `privacy_mask = [\n${masks.map((mask) => `  ${text(mask)},\n`).join("")}]\n`;
    }
    if (!/^[a-z0-9-]{1,16}$/.test(name)) return "";
    return `[[camera.${which}]]\nname = "${name}"\npoints = ${text(shape_)}\n`;
  }

  function editor() {
    const which = tool();
    const words = { zone: "at least 3 points", line: "2 points", mask: "at least 3 points" };
    const nameless = which !== "mask" && !/^[a-z0-9-]{1,16}$/.test($("shape-name").value.trim());
    $("points-said").textContent = nameless ? "The name has 1 to 16 of a-z, 0-9 and '-'."
      : `${points.length} ${points.length === 1 ? "point" : "points"} set; wanted ${words[which]}.`;
    $("block").value = block();
    $("block-copy").disabled = !$("block").value;
    $("block-hint").textContent = which === "mask"
      ? "In place of the camera's privacy_mask, above its zones and lines: the masks of before are in it. Then restart the daemon."
      : "Below the camera's other keys, as the last thing of its [[camera]]. Then restart the daemon.";
  }

  function changed() {
    const which = tool();
    $("ruler").hidden = which !== "ruler";
    $("editor").hidden = which === "ruler";
    $("shape-name-of").hidden = which === "mask";
    if (which === "ruler") ruler(); else editor();
    draw();
  }

  function add(point) {
    if (points.length >= most()) points = most() === 2 ? [] : points.slice(0, -1);
    points.push(point);
    const at = point.map((share) => `${Math.round(share * 100)} %`);
    $("stage-said").textContent = `Point ${points.length} at ${at[0]} from the left, ${at[1]} from the top.`;
    changed();
  }

  function back() {
    points.pop();
    $("stage-said").textContent = `${points.length} points left.`;
    changed();
  }

  function place(event) {
    const box = context.canvas.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
  }

  function pointer() {
    const canvas = context.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      keyed = false;
      if (tool() !== "ruler") { add(place(event)); return; }
      drag = place(event);
      points = [drag];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      points = [drag, place(event)];
      changed();
    });
    canvas.addEventListener("pointerup", () => { drag = null; changed(); });
    canvas.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 5 * STEP : STEP;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (moves[event.key]) {
        cross = cross.map((share, at) => clamp(share + moves[event.key][at]));
        keyed = true;
        draw();
      } else if (event.key === "Enter" || event.key === " ") {
        keyed = true;
        add([...cross]);
      } else if (event.key === "Backspace" || event.key === "Delete") {
        back();
      } else return;
      event.preventDefault();
    });
  }

  async function look() {
    const [camera, purpose] = [$("look-camera").value, $("look-purpose").value];
    if (!purpose) { $("stage-said").textContent = "Choose what for first."; return; }
    const told = await (await ask("/api/look", { camera, purpose })).json();
    looking = { camera, purpose, until: performance.now() + (told.seconds - 5) * 1000 };
  }

  /** One picture a second, and none while nobody looks. */
  async function next() {
    clearTimeout(timer);
    timer = 0;
    if (!seen || !looking || held || alone || document.hidden) return;
    if (performance.now() - actedAt > fixed.alone_s * 1000) { stopped(true); return; }
    const { camera, purpose } = looking;
    try {
      if (performance.now() > looking.until) await look();
      const answer = await ask(`/api/picture/${encodeURIComponent(camera)}`);
      const told = JSON.parse(answer.headers.get("watchpost-picture"));
      const decoded = await createImageBitmap(await answer.blob());
      if (looking && looking.camera === camera && looking.purpose === purpose && !held) {
        if (image) image.close();
        [image, about] = [decoded, told];
        if (context.canvas.width !== image.width || context.canvas.height !== image.height) {
          [context.canvas.width, context.canvas.height] = [image.width, image.height];
        }
        context.canvas.dataset.pictures = Number(context.canvas.dataset.pictures || 0) + 1;
        changed();
      }
      say("");
    } catch (error) {
      $("stage-said").textContent = error.message;
    }
    if (!timer) timer = setTimeout(next, 1000);
  }

  /** Nobody seems to look any more, or somebody does again. */
  function stopped(is) {
    alone = is;
    $("look-alone").hidden = !is;
  }

  function forget() {
    stopped(false);
    [looking, image, about, points, held] = [null, null, null, [], false];
    $("look-hold").hidden = true;
    $("look-hold").setAttribute("aria-pressed", "false");
    changed();
  }

  function begin() {
    context = $("canvas").getContext("2d");
    $("look-hint").textContent = "Each look is in the audit log with what it is for. Masked parts are black; "
      + (fixed.hides_persons ? "persons that are seen are squares." : "no model looks for persons here, so that masks alone hide them.");
    pointer();
    $("look").addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        if (looking && looking.camera !== $("look-camera").value) forget();
        await look();
        $("look-hold").hidden = false;
        $("stage-said").textContent = `Looking at ${looking.camera}.`;
        held = false;
        stopped(false);
        $("look-hold").setAttribute("aria-pressed", "false");
        next();
      } catch (error) {
        $("stage-said").textContent = error.message;
      }
    });
    $("look-camera").addEventListener("change", forget);
    $("look-alone-for").textContent = span(fixed.alone_s);
    $("look-on").addEventListener("click", () => { stopped(false); next(); $("canvas").focus(); });
    $("look-hold").addEventListener("click", () => {
      held = !held;
      $("look-hold").setAttribute("aria-pressed", String(held));
      if (!held) next();
    });
    for (const radio of document.querySelectorAll("input[name=tool]")) {
      radio.addEventListener("change", () => { points = []; changed(); });
    }
    $("shape-name").addEventListener("input", changed);
    $("shape-back").addEventListener("click", back);
    $("shape-clear").addEventListener("click", () => { points = []; changed(); });
    $("block-copy").addEventListener("click", async () => {
      $("block").select();
      try {
        await navigator.clipboard.writeText($("block").value);
        $("stage-said").textContent = "Copied.";
      } catch {
        $("stage-said").textContent = "Selected: copy it with the keyboard.";
      }
    });
    document.addEventListener("visibilitychange", next);
    changed();
  }

  function shown(is, camera) {
    seen = is;
    if (is && camera && fixed.cameras.some((c) => c.id === camera) && $("look-camera").value !== camera) {
      $("look-camera").value = camera;
      forget();
    }
    if (is) { changed(); next(); }
  }

  return { begin, shown };
})();
