// The drawing pad. A stroke is a list of points [x, y, width] in shares of the pad's side, so it fits any size.

const PEN_WIDTH = 0.075;
const PICTURE_SIDE = 280; // pixels of what is sent: ten times what the model looks at
const KEY_STEP = 0.04;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  #canvas;
  #strokes = [];
  #pointer = null;
  #pen = { x: 0.5, y: 0.5, down: false, shown: false };
  #onChange;
  #onEnter;

  constructor(canvas, { onChange, onEnter }) {
    this.#canvas = canvas;
    this.#onChange = onChange;
    this.#onEnter = onEnter;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#end(event));
    canvas.addEventListener("keydown", (event) => this.#press(event));
    canvas.addEventListener("blur", () => { this.#pen.shown = this.#pen.down = false; this.paint(); });
    new ResizeObserver(() => this.paint()).observe(canvas);
  }

  get isEmpty() {
    return this.#strokes.length === 0;
  }

  clear() {
    this.#strokes = [];
    this.#changed();
  }

  undo() {
    this.#strokes.pop();
    this.#changed();
  }

  // Paints in the colours of the theme, for the screen.
  paint() {
    const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    if (side === 0) return;
    this.#canvas.width = this.#canvas.height = side;
    const context = this.#canvas.getContext("2d");
    const colour = getComputedStyle(this.#canvas).color;
    paintStrokes(context, this.#strokes, side, colour);
    if (!this.#pen.shown) return;
    context.beginPath();
    context.arc(this.#pen.x * side, this.#pen.y * side, (PEN_WIDTH * side) / 2, 0, 2 * Math.PI);
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 2 * devicePixelRatio;
    if (this.#pen.down) context.fill();
    else context.stroke();
  }

  // The picture as it is sent: black on white in any theme.
  async picture() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = PICTURE_SIDE;
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, PICTURE_SIDE, PICTURE_SIDE);
    paintStrokes(context, this.#strokes, PICTURE_SIDE, "#000");
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    return new File([blob], "drawing.png", { type: "image/png" });
  }

  #begin(event) {
    if (this.#pointer !== null || event.button !== 0) return;
    this.#pointer = event.pointerId;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#strokes.push([]);
    this.#add(event);
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length > 0 ? events : [event]) this.#add(each);
  }

  #end(event) {
    if (event.pointerId === this.#pointer) this.#pointer = null;
  }

  #add(event) {
    const box = this.#canvas.getBoundingClientRect();
    const width = PEN_WIDTH * (event.pointerType === "pen" ? 0.6 + 0.8 * event.pressure : 1);
    this.#strokes.at(-1).push([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, width]);
    this.#changed();
  }

  #press(event) {
    const pen = this.#pen;
    const direction = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (direction) {
      pen.x = Math.min(0.96, Math.max(0.04, pen.x + direction[0] * KEY_STEP));
      pen.y = Math.min(0.96, Math.max(0.04, pen.y + direction[1] * KEY_STEP));
      if (pen.down) this.#strokes.at(-1).push([pen.x, pen.y, PEN_WIDTH]);
    } else if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) this.#strokes.push([[pen.x, pen.y, PEN_WIDTH]]);
    } else if (event.key === "Enter") {
      pen.down = false;
      this.#onEnter();
    } else {
      return;
    }
    event.preventDefault();
    pen.shown = true;
    this.#changed();
  }

  #changed() {
    if (this.isEmpty) this.#pen.down = false;
    this.paint();
    this.#onChange(this);
  }
}

// Smooth lines: each point pulls a curve that runs between the middles of its two segments.
function paintStrokes(context, strokes, side, colour) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineCap = context.lineJoin = "round";
  for (const points of strokes) {
    let [fromX, fromY] = points[0];
    points.forEach(([x, y, width], index) => {
      const [nextX, nextY] = points[index + 1] ?? [x, y];
      const [toX, toY] = index + 1 < points.length ? [(x + nextX) / 2, (y + nextY) / 2] : [x, y];
      context.beginPath();
      context.moveTo(fromX * side, fromY * side);
      context.quadraticCurveTo(x * side, y * side, toX * side, toY * side);
      context.lineWidth = width * side;
      context.stroke();
      [fromX, fromY] = [toX, toY];
    });
  }
}
