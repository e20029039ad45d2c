import type { Series } from "./series.ts";
import { count } from "./words.ts";

export interface Line {
  readonly name: string;
  readonly series: Series;
  /** A custom property of CSS. */
  readonly colour: string;
  readonly dash: readonly number[];
}

const MARGIN = { left: 44, right: 12, top: 10, bottom: 36 };

/** Draws the lines over position, with a mark at the trained length. */
export function draw(canvas: HTMLCanvasElement, lines: readonly Line[], trainedLength: number): void {
  const { width, height } = canvas.getBoundingClientRect();
  if (width === 0 || lines.length === 0) return;
  const scale = devicePixelRatio;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const style = getComputedStyle(canvas);
  const colour = (name: string) => style.getPropertyValue(name);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `12px ${style.fontFamily}`;
  context.lineWidth = 1;

  const ends = lines.map(({ series }) => series.origin + series.points.length * series.width);
  const from = Math.min(...lines.map(({ series }) => series.origin));
  const to = Math.max(from + 2 * trainedLength, ...ends);
  const values = lines.flatMap(({ series }) => series.points);
  const top = Math.max(4, Math.ceil(Math.max(0, ...values)));
  const x = (position: number) =>
    MARGIN.left + ((position - from) / (to - from)) * (width - MARGIN.left - MARGIN.right);
  const y = (value: number) => height - MARGIN.bottom - (value / top) * (height - MARGIN.top - MARGIN.bottom);

  context.fillStyle = colour("--soft");
  context.strokeStyle = colour("--line");
  context.textAlign = "right";
  context.textBaseline = "middle";
  const yStep = top > 8 ? 4 : top > 4 ? 2 : 1;
  for (let value = 0; value <= top; value += yStep) {
    stroke(context, [x(from), y(value), x(to), y(value)]);
    context.fillText(`${value}`, MARGIN.left - 8, y(value));
  }
  context.textBaseline = "top";
  context.textAlign = "center";
  const xStep = niceStep((to - from) / Math.max(2, width / 130));
  for (let at = Math.ceil(from / xStep) * xStep; at <= to; at += xStep) {
    context.textAlign = x(at) > width - 40 ? "right" : "center";
    context.fillText(count(at), Math.min(x(at), width - 2), height - MARGIN.bottom + 5);
  }
  context.textAlign = "right";
  context.textBaseline = "bottom";
  context.fillText("position, tokens", width - MARGIN.right, height - 2);
  context.save();
  context.translate(2, height - MARGIN.bottom - (height - MARGIN.top - MARGIN.bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.textBaseline = "top";
  context.fillText("NLL, nats per token", 0, 0);
  context.restore();
  if (trainedLength > from) {
    context.strokeStyle = colour("--soft");
    context.setLineDash([2, 3]);
    stroke(context, [x(trainedLength), y(0), x(trainedLength), y(top)]);
    context.textAlign = x(trainedLength) < width - 130 ? "left" : "right";
    context.textBaseline = "bottom";
    context.fillText(context.textAlign === "left" ? " trained length" : "trained length ", x(trainedLength), y(0) - 3);
  }

  context.lineWidth = 2;
  context.lineJoin = "round";
  for (const { series, ...line } of lines) {
    context.strokeStyle = colour(line.colour);
    context.setLineDash([...line.dash]);
    // Averages over a few tokens are too noisy.
    const { points, origin, width: step } = series;
    stroke(
      context,
      points.flatMap((value, i) => (i * step < 16 ? [] : [x(origin + (i + 1) * step), y(value)])),
    );
  }
  context.setLineDash([]);
}

/** A line through x, y, x, y … */
function stroke(context: CanvasRenderingContext2D, path: readonly number[]): void {
  context.beginPath();
  for (let i = 0; i < path.length; i += 2) context.lineTo(path[i] as number, path[i + 1] as number);
  context.stroke();
}

/** 1, 2 or 5 times a power of ten, not less than `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5, 10].find((step) => step * power >= least) as number);
}
