"use strict";
// The layout of a tile on a canvas, from the die to one via.  Lengths in nm, y up, origin at the die.
(() => {
  const COLOURS = ["fixed", "lower", "upper", "stub", "weight", "card", "ink", "soft", "rule", "array", "other",
    "tile", "paper", "attention", "router", "experts", "unembedding"];
  const OPACITY = { lower: 1, fixed: 1, stub: 0.92, upper: 0.62, weight: 1 };
  const TOP = 38, BOTTOM = 40;  // strips of names above and below the metal
  const CLOSEST = 3;  // pixels a nm

  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };

  // differences -> values, in place
  const summed = (list) => { for (let i = 1; i < list.length; i++) list[i] += list[i - 1]; return list; };

  const length = (nm) => {
    const [size, unit] = nm >= 1e6 ? [1e6, "mm"] : nm >= 1e3 ? [1e3, "µm"] : [1, "nm"];
    return `${+(nm / size).toPrecision(3)} ${unit}`;
  };

  class Viewer {
    constructor(root, data) {
      this.data = data;
      this.canvas = root.querySelector("canvas");
      this.caption = root.querySelector(".mv-caption");
      this.buttons = [...root.querySelectorAll(".mv-levels button")];
      this.other = root.querySelector(".mv-other");
      this.pen = this.canvas.getContext("2d");
      this.pointers = new Map();
      this.tile = data.tile;
      this.rolled = 0;  // rows by which weights are shifted: metal of another model
      for (const group of [...data.shapes, data.trunks]) { summed(group.x); if (group.y) summed(group.y); }
      this.theme();
      this.listen(root);
      this.resize();
      this.show(0, false);
    }

    theme() {
      const style = getComputedStyle(this.canvas);
      this.colours = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--m-${name}`).trim()]));
    }

    // -- view ---------------------------------------------------------------------------------

    resize() {
      const ratio = window.devicePixelRatio || 1;
      this.width = this.canvas.clientWidth;
      this.height = this.canvas.clientHeight;
      this.canvas.width = Math.round(this.width * ratio);
      this.canvas.height = Math.round(this.height * ratio);
      this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      const [x0, y0, x1, y1] = this.data.levels[0].box;
      this.pen.font = "12px system-ui, sans-serif";
      const longest = Math.max(...this.data.digits.neurons.map((name) => this.pen.measureText(name).width));
      this.strip = Math.min(Math.max(60, longest + 14), 0.34 * this.width);
      this.least = 0.6 * Math.min(this.width / (x1 - x0), this.height / (y1 - y0));
      if (!this.view) return;
      if (this.chosen !== undefined) this.view = this.fit(this.chosen);
      this.draw();
    }

    // names of rows take the left side of the canvas once there is room for a line in each
    left(k) { return this.data.pitch * k >= 15 ? this.strip : 0; }

    fit(n) {
      const { name, box: [x0, y0, x1, y1] } = this.data.levels[n], named = name === "rows" || name === "weight";
      const left = named ? this.strip : 0, above = named ? TOP : 6, below = named ? BOTTOM + 28 : 34;
      const k = 0.96 * Math.min((this.width - left) / (x1 - x0), (this.height - above - below) / (y1 - y0));
      return { x: (x0 + x1) / 2 - left / 2 / k, y: (y0 + y1) / 2 + (above - below) / 2 / k, k };
    }

    show(level, glide = true) {
      const to = this.fit(level), from = this.view;
      cancelAnimationFrame(this.frame);
      this.chosen = level;
      if (!glide || !from || matchMedia("(prefers-reduced-motion: reduce)").matches) {
        this.view = to;
        this.draw();
        return;
      }
      const time = 350 + 160 * Math.abs(Math.log(to.k / from.k)), start = performance.now();
      const step = (now) => {
        const t = Math.min(1, Math.max(0, (now - start) / time)), s = t * t * (3 - 2 * t);
        const k = from.k * (to.k / from.k) ** s;
        // the end that is closer to the metal keeps its place on the screen while the other moves
        const near = to.k > from.k ? to : from, far = to.k > from.k ? from : to;
        const left = to.k > from.k ? 1 - s : s;
        this.view = { k, x: near.x + (far.x - near.x) * far.k * left / k, y: near.y + (far.y - near.y) * far.k * left / k };
        this.draw();
        if (t < 1) this.frame = requestAnimationFrame(step);
      };
      this.frame = requestAnimationFrame(step);
    }

    zoom(factor, px = this.width / 2, py = this.height / 2) {
      this.free();
      const { x, y, k } = this.view;
      const next = Math.min(CLOSEST, Math.max(this.least, k * factor));
      const dx = (px - this.width / 2) * (1 / k - 1 / next), dy = (py - this.height / 2) * (1 / k - 1 / next);
      this.view = { x: x + dx, y: y - dy, k: next };
      this.draw();
    }

    pan(px, py) {
      this.free();
      const [x0, y0, x1, y1] = this.data.levels[0].box;
      this.view.x = Math.min(x1, Math.max(x0, this.view.x - px / this.view.k));
      this.view.y = Math.min(y1, Math.max(y0, this.view.y + py / this.view.k));
      this.draw();
    }

    // no longer what a button chose
    free() {
      cancelAnimationFrame(this.frame);
      this.chosen = undefined;
    }

    step(by) { this.show(Math.min(this.data.levels.length - 1, Math.max(0, this.level() + by))); }

    listen(root) {
      const { canvas, pointers } = this;
      const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
      const spread = () => { const [a, b] = [...pointers.values()]; return [Math.hypot(a[0] - b[0], a[1] - b[1]), (a[0] + b[0]) / 2, (a[1] + b[1]) / 2]; };
      let travelled = 0;
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        pointers.set(event.pointerId, place(event));
        this.active = true;
        travelled = 0;
        this.tell(place(event));
      });
      canvas.addEventListener("pointermove", (event) => {
        const at = place(event), before = pointers.get(event.pointerId);
        if (!before) { if (event.pointerType === "mouse") this.tell(at); return; }
        travelled += Math.hypot(at[0] - before[0], at[1] - before[1]);
        if (pointers.size === 2) {
          const [apart, x, y] = spread();
          pointers.set(event.pointerId, at);
          const [next, nx, ny] = spread();
          this.pan(nx - x, ny - y);
          this.zoom(next / Math.max(apart, 1), nx, ny);
        } else if (travelled > 3) {
          pointers.set(event.pointerId, at);
          this.pan(at[0] - before[0], at[1] - before[1]);
        }
      });
      canvas.addEventListener("pointerup", (event) => {
        pointers.delete(event.pointerId);
        const at = place(event);
        if (travelled <= 3 && this.framed && this.inFrame(at)) this.show(this.framed.level);
      });
      canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
      canvas.addEventListener("pointerleave", () => { if (!pointers.size) { this.active = false; this.point(null); this.describe(); } });
      // the wheel scrolls the page until one has clicked into the drawing
      canvas.addEventListener("wheel", (event) => {
        if (!this.active && !event.ctrlKey) return;
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...place(event));
      }, { passive: false });
      const keys = {
        ArrowLeft: () => this.pan(60, 0), ArrowRight: () => this.pan(-60, 0), ArrowUp: () => this.pan(0, 60), ArrowDown: () => this.pan(0, -60),
        "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5),
        Enter: () => this.step(1), Backspace: () => this.step(-1), Home: () => this.show(0), End: () => this.step(Infinity),
      };
      canvas.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
        keys[event.key]();
        event.preventDefault();
      });
      this.buttons.forEach((button, n) => button.addEventListener("click", () => this.show(n)));
      this.other.disabled = this.data.digits.codes.length < 2;
      this.other.addEventListener("click", () => {
        this.rolled = this.rolled ? 0 : Math.ceil(this.data.digits.codes.length / 2);
        this.other.setAttribute("aria-pressed", String(Boolean(this.rolled)));
        this.point(null);
        this.draw();
      });
      const [away, closer] = root.querySelectorAll(".mv-zoom button:not(.mv-other)");
      closer.addEventListener("click", () => this.zoom(1.7));
      away.addEventListener("click", () => this.zoom(1 / 1.7));
      new ResizeObserver(() => this.resize()).observe(canvas);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.theme(); this.draw(); });
    }

    // -- drawing ------------------------------------------------------------------------------

    box(x0, y0, x1, y1) {
      const { x, y, k } = this.view;
      return [(x0 - x) * k + this.width / 2, this.height / 2 - (y1 - y) * k, (x1 - x0) * k, (y1 - y0) * k];
    }

    fill(name, x, y, width, height) {
      this.pen.fillStyle = this.colours[name];
      // numbers far beyond the canvas lose their precision there
      const left = Math.max(x, -9), top = Math.max(y, -9);
      const right = Math.min(x + width, this.width + 9), bottom = Math.min(y + height, this.height + 9);
      if (right > left && bottom > top) this.pen.fillRect(left, top, right - left, bottom - top);
    }

    label(text, x, y, name = "ink", align = "center", size = 13, weight = 600) {
      const { pen } = this;
      pen.font = `${weight} ${size}px system-ui, sans-serif`;
      pen.textAlign = align;
      pen.lineWidth = 3;
      pen.lineJoin = "round";
      pen.strokeStyle = this.colours.card;
      pen.strokeText(text, x, y);
      pen.fillStyle = this.colours[name];
      pen.fillText(text, x, y);
    }

    draw() {
      this.pen.clearRect(0, 0, this.width, this.height);
      this.fill("card", 0, 0, this.width, this.height);
      if (this.data.die) this.drawDie();
      this.drawTile();
      this.drawNames();
      this.drawScale();
      this.describe();
    }

    drawDie() {
      const { die, blocks } = this.data;
      this.fill("paper", ...this.box(0, 0, die[0], die[1]));
      this.pen.strokeStyle = this.colours.rule;
      this.pen.lineWidth = 1;
      this.pen.strokeRect(...this.box(0, 0, die[0], die[1]));
      this.pen.strokeStyle = this.colours.card;
      for (const [colour, x0, y0, x1, y1, name, edges] of blocks) {
        const [x, y, width, height] = this.box(x0, y0, x1, y1);
        if (x > this.width || x + width < 0 || y > this.height || y + height < 0) continue;
        this.fill(colour, x, y, Math.max(width, 0.4), Math.max(height, 0.4));
        if (height < 6 || width < 6) continue;
        if (!name) continue;
        this.pen.strokeRect(x, y, width, height);
        this.pen.beginPath();
        for (const edge of edges) {
          const at = this.box(edge, 0, edge, 0)[0];
          if (at > -1 && at < this.width + 1) { this.pen.moveTo(at, Math.max(y, 0)); this.pen.lineTo(at, Math.min(y + height, this.height)); }
        }
        this.pen.stroke();
        this.pen.font = "600 12px system-ui, sans-serif";
        if (height > 18 && width < 1.5 * this.width && this.pen.measureText(name).width < width - 6) {
          this.label(name, x + width / 2, y + height / 2 + 4, "ink", "center", 12);
          this.pen.strokeStyle = this.colours.card;
          this.pen.lineWidth = 1;
        }
      }
    }

    drawTile() {
      const [tx, ty, tw, th] = this.tile, { k } = this.view, pitch = this.data.pitch * k;
      this.fill("tile", ...this.box(tx, ty, tx + tw, ty + th));
      // metal only of the rows that the page carries: others must not look as if they had no weights
      const { first, codes } = this.data.digits, low = ty + first * this.data.pitch;
      const [left, top, wide, high] = this.box(tx, low, tx + tw, low + codes.length * this.data.pitch);
      this.pen.save();
      this.pen.beginPath();
      this.pen.rect(Math.max(left, -9), Math.max(top, -9), Math.min(left + wide, this.width + 9) - Math.max(left, -9), Math.min(top + high, this.height + 9) - Math.max(top, -9));
      this.pen.clip();
      const fixed = Math.min(1, Math.max(0, (pitch - 2.5) / 4)), dots = Math.min(1, Math.max(0, pitch / 0.5 - 0.2));
      for (const role of ["port", "lower", "tie", "stub", "upper"]) {
        const colour = role === "port" || role === "tie" ? "fixed" : role;
        this.pen.globalAlpha = fixed * OPACITY[colour];
        if (fixed) for (const grid of this.data.grids) if (grid[0] === role) this.drawGrid(colour, grid);
        this.pen.globalAlpha = dots * OPACITY[colour];
        for (const group of this.data.shapes) if (group.role === role) this.drawShapes(colour, group, 0.8);
      }
      this.pen.globalAlpha = 1;
      if (pitch > 15 && !this.rolled) this.drawChosen();
      const wires = this.data.shapes.some(({ role }) => role === "stub");
      for (const group of this.data.shapes) {
        if (group.role !== "weight") continue;
        // from afar a via's layer tells more than its being one, and a wire more than its ends
        this.pen.globalAlpha = wires ? Math.min(1, Math.max(0, group.width * k - 0.7)) : dots;
        this.drawShapes(fixed < 0.5 ? group.on : "weight", group, pitch > 8 ? 3 : Math.min(1.6, Math.max(0.8, pitch)));
      }
      this.pen.globalAlpha = 1;
      this.pen.restore();
      if (this.pointed) {
        this.pen.strokeStyle = this.colours.ink;
        this.pen.lineWidth = 1.5;
        this.pen.strokeRect(...this.box(...this.pointed));
      }
      this.drawFrame();
    }

    // the metal of the weight shown last, upper ones seen through, each piece with an edge
    drawChosen() {
      const [tx, ty] = this.tile;
      this.pen.lineWidth = 1.5;
      this.pen.strokeStyle = this.colours.ink;
      for (const [role, x0, y0, x1, y1] of this.data.chosen) {
        const box = this.box(tx + x0, ty + y0, tx + x1, ty + y1);
        this.pen.globalAlpha = OPACITY[role];
        this.fill(role, ...box);
        this.pen.globalAlpha = 1;
        if (Math.min(box[2], box[3]) > 5) this.pen.strokeRect(...box);
      }
    }

    // a frame about what the next level shows, never too small to see
    drawFrame() {
      const { levels } = this.data, level = this.level() + 1, next = levels[level];
      this.framed = null;
      if (!next) { if (!this.rolled) this.drawMarks(); return; }
      const [x, y, width, height] = this.box(...(next.name === "weight" ? this.data.cell : next.box));
      if (Math.max(width / this.width, height / this.height) > 0.97) return;
      const wide = Math.max(width, 9), high = Math.max(height, 9);
      const frame = [x + (width - wide) / 2, y + (height - high) / 2, wide, high];
      this.framed = { level, frame };
      this.pen.strokeStyle = this.colours.weight;
      this.pen.lineWidth = 2;
      this.pen.strokeRect(...frame);
      if (frame[0] > this.width || frame[0] + wide < 0 || frame[1] > this.height || frame[1] + high < 0) return;
      const above = frame[1] > 60, text = `${next.name} \u25b8`;
      this.label(text, Math.min(this.width - 40, Math.max(40, x + width / 2)), above ? frame[1] - 6 : frame[1] + high + 16, "weight");
    }

    inFrame([px, py]) {
      const [x, y, width, height] = this.framed.frame, more = Math.max(0, (24 - Math.min(width, height)) / 2);
      return px >= x - more && px <= x + width + more && py >= y - more && py <= y + height + more;
    }

    // numbers on the metal of the weight, as in the drawings
    drawMarks() {
      const [tx, ty] = this.tile, { pen } = this;
      if (this.data.pitch * this.view.k < 40) return;
      this.data.marks.forEach(([x, y, role], n) => {
        const [px, py] = this.box(tx + x, ty + y, tx + x, ty + y), at = n === 0 ? py : py + (n % 2 ? -30 : 30);
        pen.strokeStyle = pen.fillStyle = this.colours.ink;
        pen.lineWidth = 1.5;
        if (n) {
          pen.beginPath(); pen.moveTo(px, py); pen.lineTo(px, at); pen.stroke();
          pen.beginPath(); pen.arc(px, py, 2.5, 0, 7); pen.fill();
        }
        pen.beginPath();
        pen.arc(px, at, 10, 0, 7);
        pen.fillStyle = this.colours.card;
        pen.fill();
        pen.strokeStyle = this.colours[role];
        pen.lineWidth = 2;
        pen.stroke();
        pen.font = "600 13px system-ui, sans-serif";
        pen.textAlign = "center";
        pen.fillStyle = this.colours.ink;
        pen.fillText(String(n + 1), px, at + 4.5);
      });
    }

    drawGrid(colour, [, x0, y0, x1, y1, columns, dx, rows, dy]) {
      const [tx, ty] = this.tile, { x, y, k } = this.view;
      const range = (low, high, step, count, centre, half) => {
        const first = step ? Math.max(0, Math.ceil((centre - half - high) / step)) : 0;
        const last = step ? Math.min(count - 1, Math.floor((centre + half - low) / step)) : count - 1;
        return [first, last];
      };
      const [left, right] = range(x0 + tx, x1 + tx, dx, columns, x, this.width / 2 / k);
      const [low, high] = range(y0 + ty, y1 + ty, dy, rows, y, this.height / 2 / k);
      for (let n = left; n <= right; n++) {
        for (let m = low; m <= high; m++) {
          this.fill(colour, ...this.box(tx + x0 + n * dx, ty + y0 + m * dy, tx + x1 + n * dx, ty + y1 + m * dy));
        }
      }
    }

    // y of programmable metal; of another model, that of the row it is shown in
    shifted(y) {
      if (!this.rolled) return y;
      const { pitch, digits } = this.data, end = (digits.first + digits.codes.length) * pitch;
      const moved = y + this.rolled * pitch;
      return moved < end ? moved : moved - digits.codes.length * pitch;
    }

    drawShapes(colour, { x, y, width, height }, least) {
      const [tx, ty] = this.tile, { k } = this.view, { pen } = this;
      const cx = this.view.x - tx, cy = this.view.y - ty, w2 = this.width / 2, h2 = this.height / 2;
      const one = typeof width === "number", high = Math.max(least, height * k);
      pen.fillStyle = this.colours[colour];
      for (let n = 0; n < x.length; n++) {
        const long = one ? width : width[n], wide = Math.max(least, long * k);
        const px = (x[n] + long / 2 - cx) * k + w2 - wide / 2, py = h2 - (this.shifted(y[n]) + height / 2 - cy) * k - high / 2;
        if (px < this.width && px + wide > 0 && py < this.height && py + high > 0) pen.fillRect(px, py, wide, high);
      }
    }

    // names of trunks above and below the metal, of neurons at its left
    drawNames() {
      const { data } = this, { k } = this.view, left = this.left(k), [tx, ty, tw, th] = this.tile;
      if (!left) return;
      this.pen.globalAlpha = 0.93;
      this.fill("card", 0, 0, this.width, TOP);
      this.fill("card", 0, this.height - BOTTOM, this.width, BOTTOM);
      this.fill("card", 0, 0, left, this.height);
      this.pen.globalAlpha = 1;
      const inputs = data.inputs.map((x, n) => [x, `input ${data.firstInput + n}`, "ink"]);
      if (data.cells) this.drawLine(inputs, 16, left);
      const trunks = { upper: [], lower: [] };
      data.trunks.x.forEach((x, n) => { const [word, role] = data.trunks.names[data.trunks.name[n]]; trunks[role].push([x, word, role]); });
      const room = data.cells ? data.cells / 10 * k > 14 : true;
      if (room) {
        this.drawLine(trunks.lower, data.cells ? 33 : 24, left);
        this.drawLine(trunks.upper, this.height - 22, left);
        const say = data.cells ? ["times", TOP - 5] : ["input", this.height - 22];
        this.label(say[0], left - 6, say[1], "soft", "end", 12, 400);
      }
      const first = Math.max(0, Math.floor((this.view.y - this.height / 2 / k - ty) / data.pitch));
      for (let row = first; row < first + this.height / k / data.pitch + 2; row++) {
        const name = data.digits.neurons[row - data.digits.first], above = this.box(0, 0, 0, ty + (row + 1) * data.pitch)[1];
        const top = Math.max(TOP, above), bottom = Math.min(this.height - BOTTOM, above + data.pitch * k);
        const y = Math.min(Math.max(above + data.pitch * k / 2, top + 10), bottom - 10);
        if (name === undefined || bottom - top < 12) continue;
        this.pen.save();
        this.pen.beginPath(); this.pen.rect(2, 0, left - 4, this.height); this.pen.clip();
        this.label(name, left - 6, y + 4, "soft", "end", 12, 400);
        this.pen.restore();
      }
    }

    // as many names as have room
    drawLine(names, y, left) {
      const [tx] = this.tile;
      let end = left;
      this.pen.font = "600 12px system-ui, sans-serif";
      for (const [x, text, colour] of names) {
        const px = this.box(tx + x, 0, 0, 0)[0], half = this.pen.measureText(text).width / 2 + 3;
        if (px - half < end || px + half > this.width) continue;
        this.label(text, px, y, colour, "center", 12);
        end = px + half;
      }
    }

    drawScale() {
      const room = 0.24 * this.width / this.view.k, decade = 10 ** Math.floor(Math.log10(room));
      const nm = decade * (room / decade >= 5 ? 5 : room / decade >= 2 ? 2 : 1), px = nm * this.view.k;
      const x = 12 + this.left(this.view.k), y = this.height - (this.left(this.view.k) ? 5 : 12);
      if (!this.left(this.view.k)) {
        this.pen.globalAlpha = 0.85;
        this.fill("card", x - 6, y - 18, px + 90, 26);
        this.pen.globalAlpha = 1;
      }
      this.pen.strokeStyle = this.colours.ink;
      this.pen.lineWidth = 1.5;
      this.pen.beginPath();
      this.pen.moveTo(x, y - 5); this.pen.lineTo(x, y); this.pen.lineTo(x + px, y); this.pen.lineTo(x + px, y - 5);
      this.pen.stroke();
      this.label(length(nm), x + px + 8, y, "soft", "start", 12);
    }

    // -- words --------------------------------------------------------------------------------

    // what a button chose, else the last level that would be drawn no larger than what is seen now
    level() {
      if (this.chosen !== undefined) return this.chosen;
      let found = 0;
      this.data.levels.forEach((_, n) => { if (this.fit(n).k <= this.view.k * 1.35) found = n; });
      return found;
    }

    say(title, text) {
      if (this.said === title + text) return;
      this.said = title + text;
      const bold = document.createElement("b");
      bold.textContent = title;
      this.caption.replaceChildren(bold, text);
    }

    describe() {
      const at = this.level(), { name, title, text } = this.data.levels[at];
      this.buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === at)));
      if (this.rolled && this.data.pitch * this.view.k > 0.5) {
        this.say("The same tile with other weights", "Here every neuron has the weights of another one, as in another model. "
          + "What weights decide has moved; all other metal, and the silicon below, is as it was.");
        return;
      }
      const marks = name === "weight" ? this.data.marks.map(([, , , told], n) => ` (${n + 1}) ${told}`).join("") : "";
      this.say(title, text + marks);
    }

    point(box) {
      if (String(box) === String(this.pointed ?? null)) return;
      this.pointed = box;
      this.draw();
    }

    // what lies under the pointer
    tell([px, py]) {
      const { data } = this, { digits, pitch } = data, { x, y, k } = this.view, [tx, ty] = this.tile;
      const across = (px - this.width / 2) / k + x - tx, up = y - (py - this.height / 2) / k - ty;
      const row = Math.floor(up / pitch), n = row - digits.first;
      const known = pitch * k >= 5 && n >= 0 && n < digits.codes.length && px > this.left(k);
      const [column, box] = known ? (data.cells ? this.cellAt(across, row) : this.wireAt(across, up, row)) : [-1, null];
      this.point(box && [box[0] + tx, box[1] + ty, box[2] + tx, box[3] + ty]);
      if (column < 0) { this.describe(); return; }
      const from = (n - this.rolled + digits.codes.length) % digits.codes.length;
      const twice = digits.twice[parseInt(digits.codes[from][column], 16)];
      const shift = digits.shifts[from][column >> 5], power = digits.powers ? digits.powers[from] + shift : null;
      const number = (twice > 0 ? "+" : "") + twice / 2;
      const value = power === null || !twice ? number : `${number} × 2^${power} = ${+(twice / 2 * 2 ** power).toPrecision(4)}`;
      this.say(`weight ${value}${this.rolled ? " in another model" : ""}`.replaceAll("-", "−"), `${data.matrix}, ${digits.neurons[n]}, input ${data.firstInput + column}`);
    }

    cellAt(across, row) {
      const { inputs, cells, pitch } = this.data, column = inputs.findIndex((middle) => Math.abs(across - middle) < cells / 2);
      const middle = inputs[column];
      return [column, column < 0 ? null : [middle - cells / 2, row * pitch, middle + cells / 2, (row + 1) * pitch]];
    }

    // the wire under the pointer, and the input whose trunk its upper via is on
    wireAt(across, up, row) {
      const { shapes, inputs, pitch } = this.data, slack = 3 / this.view.k;
      for (const wires of shapes) {
        if (wires.role !== "stub") continue;
        for (let n = 0; n < wires.x.length; n++) {
          const x0 = wires.x[n], y0 = this.shifted(wires.y[n]), x1 = x0 + (typeof wires.width === "number" ? wires.width : wires.width[n]), y1 = y0 + wires.height;
          if (across < x0 || across > x1 || up < y0 - slack || up > y1 + slack || Math.floor((y0 + y1) / 2 / pitch) !== row) continue;
          for (const vias of shapes) {
            if (vias.on !== "upper") continue;
            const found = vias.x.findIndex((x, m) => x >= x0 && x <= x1 && this.shifted(vias.y[m]) < y1 && this.shifted(vias.y[m]) + vias.height > y0);
            if (found < 0) continue;
            const middle = vias.x[found] + vias.width / 2;
            const nearest = inputs.reduce((best, x, m) => (Math.abs(x - middle) < Math.abs(inputs[best] - middle) ? m : best), 0);
            return [nearest, [x0, y0, x1, y1]];
          }
        }
      }
      return [-1, null];
    }
  }

  for (const root of document.querySelectorAll(".metal-viewer")) {
    if (typeof DecompressionStream === "undefined" || root.viewer) continue;
    const stage = root.querySelector(".mv-stage");
    unpack(root.querySelector("script").textContent).then((data) => {
      stage.hidden = false;
      root.querySelector("details").open = false;
      root.viewer = new Viewer(root, data);
    }).catch((error) => { stage.hidden = true; console.error(error); });
  }
})();
