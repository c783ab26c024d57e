"use strict";
// The layout of a tile on a canvas, from the die to one via.  Lengths in nm, y up, origin at the die.
(() => {
  const LAYERS = ["fixed", "lower", "upper", "stub", "weight"];

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
      this.pen = this.canvas.getContext("2d");
      this.pointers = new Map();
      this.tile = data.tile;
      for (const group of data.shapes) { summed(group.x); summed(group.y); }
      this.theme();
      this.listen(root);
      this.resize();
      this.show(data.levels[0].box, false);
    }

    theme() {
      const style = getComputedStyle(this.canvas);
      this.colours = new Proxy({}, { get: (_, name) => style.getPropertyValue(`--m-${String(name)}`).trim() });
      const kept = {};
      for (const name of [...LAYERS, "card", "ink", "soft", "rule", "array", "other", "tile", "paper"]) kept[name] = this.colours[name];
      this.colours = kept;
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
      this.least = 0.6 * Math.min(this.width / (x1 - x0), this.height / (y1 - y0));
      if (this.view) this.draw();
    }

    fit([x0, y0, x1, y1]) {
      const k = 0.92 * Math.min(this.width / (x1 - x0), (this.height - 30) / (y1 - y0));
      return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, k };
    }

    show(box, glide = true) {
      const to = this.fit(box), from = this.view;
      cancelAnimationFrame(this.frame);
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
      cancelAnimationFrame(this.frame);
      const { x, y, k } = this.view;
      const next = Math.min(3, Math.max(this.least, k * factor));
      const dx = (px - this.width / 2) * (1 / k - 1 / next), dy = (py - this.height / 2) * (1 / k - 1 / next);
      this.view = { x: x + dx, y: y - dy, k: next };
      this.draw();
    }

    pan(px, py) {
      cancelAnimationFrame(this.frame);
      const [x0, y0, x1, y1] = this.data.levels[0].box;
      this.view.x = Math.min(x1, Math.max(x0, this.view.x - px / this.view.k));
      this.view.y = Math.min(y1, Math.max(y0, this.view.y + py / this.view.k));
      this.draw();
    }

    listen(root) {
      const { canvas, pointers } = this;
      const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
      const spread = () => { const [a, b] = [...pointers.values()]; return [Math.hypot(a[0] - b[0], a[1] - b[1]), (a[0] + b[0]) / 2, (a[1] + b[1]) / 2]; };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        pointers.set(event.pointerId, place(event));
        this.active = true;
        this.tell(place(event));
      });
      canvas.addEventListener("pointermove", (event) => {
        const at = place(event), before = pointers.get(event.pointerId);
        if (!before) { if (event.pointerType === "mouse") this.tell(at); return; }
        if (pointers.size === 2) {
          const [apart, x, y] = spread();
          pointers.set(event.pointerId, at);
          const [next, nx, ny] = spread();
          this.pan(nx - x, ny - y);
          this.zoom(next / Math.max(apart, 1), nx, ny);
        } else {
          pointers.set(event.pointerId, at);
          this.pan(at[0] - before[0], at[1] - before[1]);
        }
      });
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
      canvas.addEventListener("pointerleave", () => { if (!pointers.size) { this.active = false; this.describe(); } });
      // the wheel scrolls the page until one has clicked into the drawing
      canvas.addEventListener("wheel", (event) => {
        if (!this.active && !event.ctrlKey) return;
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...place(event));
      }, { passive: false });
      canvas.addEventListener("keydown", (event) => {
        const step = 60, moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
        if (moves[event.key]) this.pan(...moves[event.key]);
        else if (event.key === "+" || event.key === "=") this.zoom(1.5);
        else if (event.key === "-") this.zoom(1 / 1.5);
        else return;
        event.preventDefault();
      });
      this.buttons.forEach((button, n) => button.addEventListener("click", () => this.show(this.data.levels[n].box)));
      const [away, closer] = root.querySelectorAll(".mv-zoom button");
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

    label(text, x, y, name = "ink", align = "center", size = 13) {
      const { pen } = this;
      pen.font = `600 ${size}px system-ui, sans-serif`;
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
      this.drawScale();
      this.describe();
    }

    drawDie() {
      const { die, blocks, array } = this.data;
      this.fill("paper", ...this.box(0, 0, die[0], die[1]));
      for (const { name, kind, box } of blocks) {
        const [x, y, width, height] = this.box(...box);
        this.fill(kind === "array" ? "array" : "other", x, y, width, height);
        this.pen.font = "600 12px system-ui, sans-serif";
        if (height > 18 && width < 3 * this.width && this.pen.measureText(name).width < width - 6) {
          this.label(name, x + width / 2, y + height / 2 + 4, "soft");
        }
      }
      const [tx, ty, tw, th] = this.tile, k = this.view.k;
      if (Math.min(tw, th) * k > 4) {
        const [bx0, by0, bx1, by1] = blocks[array].box;
        this.pen.strokeStyle = this.colours.card;
        this.pen.lineWidth = 1;
        this.pen.beginPath();
        const [left, top, width, height] = this.box(bx0, by0, bx1, by1);
        for (let n = -Math.round((tx - bx0) / tw), at; (at = tx + n * tw) <= bx1 + 1; n++) {
          const x = this.box(at, 0, at, 0)[0];
          if (x > -1 && x < this.width + 1) { this.pen.moveTo(x, Math.max(top, 0)); this.pen.lineTo(x, Math.min(top + height, this.height)); }
        }
        for (let n = -Math.round((ty - by0) / th), at; (at = ty + n * th) <= by1 + 1; n++) {
          const y = this.box(0, at, 0, at)[1];
          if (y > -1 && y < this.height + 1) { this.pen.moveTo(Math.max(left, 0), y); this.pen.lineTo(Math.min(left + width, this.width), y); }
        }
        this.pen.stroke();
      }
    }

    drawTile() {
      const [tx, ty, tw, th] = this.tile, { k } = this.view, pitch = this.data.pitch * k;
      const outline = this.box(tx, ty, tx + tw, ty + th);
      this.fill("tile", ...outline);
      const fixed = Math.min(1, Math.max(0, (pitch - 2.5) / 4)), dots = Math.min(1, Math.max(0, pitch / 0.5 - 0.2));
      const opacity = { lower: 1, fixed: 1, stub: 0.92, upper: 0.62 };
      for (const role of ["port", "lower", "tie", "stub", "upper"]) {
        const colour = role === "port" || role === "tie" ? "fixed" : role;
        this.pen.globalAlpha = fixed * opacity[colour];
        if (fixed) for (const grid of this.data.grids) if (grid[0] === role) this.drawGrid(colour, grid);
        for (const group of this.data.shapes) if (group.role === role) { this.pen.globalAlpha = dots * opacity[colour]; this.drawShapes(colour, group, 0.8); }
      }
      for (const group of this.data.shapes) {
        if (group.role !== "weight") continue;
        this.pen.globalAlpha = dots;
        // from afar a via's layer tells more than its being one
        this.drawShapes(fixed < 0.5 ? group.on : "weight", group, pitch > 8 ? 3 : 1.6);
      }
      this.pen.globalAlpha = 1;
      this.drawFrame();
      this.drawNames();
    }

    // a frame about what the next level shows, never too small to see
    drawFrame() {
      const next = this.data.levels[this.level() + 1];
      const [x, y, width, height] = this.box(...(next && next !== this.data.levels.at(-1) ? next.box : this.data.cell));
      if (Math.max(width, height) > 1.2 * Math.max(this.width, this.height)) return;
      const wide = Math.max(width, 9), high = Math.max(height, 9);
      this.pen.strokeStyle = this.colours.weight;
      this.pen.lineWidth = 2;
      this.pen.strokeRect(x + (width - wide) / 2, y + (height - high) / 2, wide, high);
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

    drawShapes(colour, { x, y, width, height }, least) {
      const [tx, ty] = this.tile, { k } = this.view, { pen } = this;
      const cx = this.view.x - tx, cy = this.view.y - ty, w2 = this.width / 2, h2 = this.height / 2;
      const one = typeof width === "number", high = Math.max(least, height * k);
      pen.fillStyle = this.colours[colour];
      for (let n = 0; n < x.length; n++) {
        const long = one ? width : width[n], wide = Math.max(least, long * k);
        const px = (x[n] + long / 2 - cx) * k + w2 - wide / 2, py = h2 - (y[n] + height / 2 - cy) * k - high / 2;
        if (px < this.width && px + wide > 0 && py < this.height && py + high > 0) pen.fillRect(px, py, wide, high);
      }
    }

    drawNames() {
      const { cells, names, pitch } = this.data, { k } = this.view;
      if (!cells || cells.width * k < 220) return;
      const size = Math.min(13, cells.width * k / 24);
      const [tx, ty, , th] = this.tile, centre = this.view.x - tx;
      let nearest = 0;
      cells.x.forEach((x, n) => { if (Math.abs(x + cells.width / 2 - centre) < Math.abs(cells.x[nearest] + cells.width / 2 - centre)) nearest = n; });
      const top = Math.max(this.box(0, ty + th, 0, ty + th)[1], 0), bottom = Math.min(this.box(0, ty, 0, ty)[1], this.height);
      for (const [x, text, role] of names) {
        const px = this.box(tx + cells.x[nearest] + x, 0, 0, 0)[0];
        this.label(text, px, role === "upper" ? bottom - 44 : top + 34, role, "center", size);
      }
      const left = this.box(tx + cells.x[nearest], 0, 0, 0)[0];
      this.label(`input ${this.data.firstInput + nearest}, times`, left + cells.width * k / 2, top + 16, "ink");
    }

    drawScale() {
      const room = 0.24 * this.width / this.view.k, decade = 10 ** Math.floor(Math.log10(room));
      const nm = decade * (room / decade >= 5 ? 5 : room / decade >= 2 ? 2 : 1), px = nm * this.view.k, y = this.height - 12;
      this.pen.fillStyle = this.colours.card;
      this.pen.globalAlpha = 0.85;
      this.pen.fillRect(6, y - 18, px + 90, 26);
      this.pen.globalAlpha = 1;
      this.pen.strokeStyle = this.colours.ink;
      this.pen.lineWidth = 1.5;
      this.pen.beginPath();
      this.pen.moveTo(12, y - 5); this.pen.lineTo(12, y); this.pen.lineTo(12 + px, y); this.pen.lineTo(12 + px, y - 5);
      this.pen.stroke();
      this.label(length(nm), 20 + px, y, "soft", "start");
    }

    // -- words --------------------------------------------------------------------------------

    level() {
      // the last level whose box would be drawn no larger than what is seen now
      let found = 0;
      this.data.levels.forEach(({ box }, n) => { if (this.fit(box).k <= this.view.k * 1.35) found = n; });
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
      const at = this.level();
      this.buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === at)));
      this.say(this.data.levels[at].title, this.data.levels[at].text);
    }

    // what lies under the pointer
    tell([px, py]) {
      const { cells, digits, pitch } = this.data, { x, y, k } = this.view;
      if (!cells || pitch * k < 5) { this.describe(); return; }
      const across = (px - this.width / 2) / k + x - this.tile[0], up = y - (py - this.height / 2) / k - this.tile[1];
      const row = Math.floor(up / pitch), column = cells.x.findIndex((start) => across >= start && across < start + cells.width);
      if (column < 0 || row < digits.first || row >= digits.first + digits.codes.length) { this.describe(); return; }
      const n = row - digits.first, twice = digits.twice[parseInt(digits.codes[n][column], 16)];
      const shift = digits.shifts[n][column >> 5], power = digits.powers ? digits.powers[n] + shift : null;
      const number = (twice > 0 ? "+" : "") + twice / 2;
      const value = power === null || !twice ? number : `${number} × 2^${power} = ${+(twice / 2 * 2 ** power).toPrecision(4)}`;
      this.say(`weight ${value}`.replaceAll("-", "−"), `${this.data.matrix}, ${digits.neurons[n]}, input ${this.data.firstInput + column}`);
    }
  }

  for (const root of document.querySelectorAll(".metal-viewer")) {
    if (typeof DecompressionStream === "undefined") continue;
    const stage = root.querySelector(".mv-stage");
    unpack(root.querySelector("script").textContent).then((data) => {
      stage.hidden = false;
      root.querySelector("details").open = false;
      root.viewer = new Viewer(root, data);
    }).catch((error) => { stage.hidden = true; console.error(error); });
  }
})();
