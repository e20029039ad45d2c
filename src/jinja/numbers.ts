/** Python's arithmetic. */
import { isInt, typeName } from "./basics.ts";
import { TemplateError } from "./errors.ts";
import { Float, type Int, type Value } from "./values.ts";

/** The most bits of an integer. */
const MOST_BITS = 65_536;

/** An arithmetic operator. */
export type Arithmetic = "+" | "-" | "*" | "/" | "//" | "%" | "**";

/** The number that a value is in arithmetic (a bool is 0 or 1), undefined for what is none. */
export function numberOf(value: Value): Int | Float | undefined {
  if (typeof value === "boolean") return Number(value);
  return isInt(value) || value instanceof Float ? value : undefined;
}

/** As a double. */
export function floatOf(value: Int | Float): number {
  if (value instanceof Float) return value.value;
  const float = Number(value);
  if (!Number.isFinite(float)) throw new TemplateError("int too large to convert to float");
  return float;
}

/** A bigint as an Int. */
export function intOf(value: bigint): Int {
  const plain = Number(value);
  if (Number.isSafeInteger(plain)) return plain;
  if (value.toString(16).length > MOST_BITS / 4) throw new TemplateError(`an integer has more than ${MOST_BITS} bits`);
  return value;
}

/** The integer part of a float. */
export function truncated(value: number): Int {
  const whole = Math.trunc(value);
  if (!Number.isFinite(whole)) throw new TemplateError(`cannot convert float ${value} to integer`);
  return Number.isSafeInteger(whole) ? whole + 0 : BigInt(whole);
}

/**
 * Python's arithmetic on two numbers.
 * @throws TemplateError for a division by zero or a result that is too large
 */
export function arithmetic(operator: Arithmetic, left: Int | Float, right: Int | Float): Int | Float {
  if (operator === "/") return new Float(divide(floatOf(left), floatOf(right)));
  if (left instanceof Float || right instanceof Float) {
    return new Float(floats(operator, floatOf(left), floatOf(right)));
  }
  if (operator === "**") return power(left, right);
  if (typeof left === "number" && typeof right === "number") {
    const result = ints(operator, left, right);
    if (Number.isSafeInteger(result)) return result + 0;
  }
  return intOf(bigints(operator, BigInt(left), BigInt(right)));
}

function divide(left: number, right: number): number {
  if (right === 0) throw new TemplateError("division by zero");
  return left / right;
}

function ints(operator: Arithmetic, left: number, right: number): number {
  if (operator === "+") return left + right;
  if (operator === "-") return left - right;
  if (operator === "*") return left * right;
  if (right === 0) throw new TemplateError("integer division or modulo by zero");
  const rest = left % right;
  const modulo = rest !== 0 && rest < 0 !== right < 0 ? rest + right : rest;
  return operator === "%" ? modulo : Math.round((left - modulo) / right);
}

function bigints(operator: Arithmetic, left: bigint, right: bigint): bigint {
  if (operator === "+") return left + right;
  if (operator === "-") return left - right;
  if (operator === "*") return left * right;
  if (right === 0n) throw new TemplateError("integer division or modulo by zero");
  const rest = left % right;
  const modulo = rest !== 0n && rest < 0n !== right < 0n ? rest + right : rest;
  return operator === "%" ? modulo : (left - modulo) / right;
}

function floats(operator: Arithmetic, left: number, right: number): number {
  if (operator === "+") return left + right;
  if (operator === "-") return left - right;
  if (operator === "*") return left * right;
  if (operator === "**") return floatPower(left, right);
  if (right === 0) throw new TemplateError("float floor division or modulo by zero");
  let modulo = left % right;
  let quotient = (left - modulo) / right;
  if (modulo === 0) modulo = right < 0 ? -0 : 0;
  else if (modulo < 0 !== right < 0) {
    modulo += right;
    quotient -= 1;
  }
  if (operator === "%") return modulo;
  if (quotient === 0) return left / right < 0 ? -0 : 0;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function floatPower(left: number, right: number): number {
  if (left === 0 && right < 0) throw new TemplateError("zero to a negative power");
  if (left < 0 && !Number.isInteger(right)) throw new TemplateError("complex numbers are not supported");
  return left === 1 ? 1 : left ** right;
}

function power(left: Int, right: Int): Int | Float {
  if (right < 0) return new Float(floatPower(floatOf(left), floatOf(right)));
  const bits = BigInt(left).toString(2).length * Number(right);
  if (bits > MOST_BITS && left !== 0 && left !== 1 && left !== -1) {
    throw new TemplateError(`an integer has more than ${MOST_BITS} bits`);
  }
  return intOf(BigInt(left) ** BigInt(right));
}

/**
 * Python's unary minus.
 * @throws TemplateError for a value that is not a number
 */
export function negative(value: Value): Int | Float {
  const number = numberOf(value);
  if (number === undefined) throw new TemplateError(`bad operand type for unary -: '${typeName(value)}'`);
  if (number instanceof Float) return new Float(-number.value);
  return typeof number === "bigint" ? intOf(-number) : 0 - number;
}

/** Python's int() of a text, undefined where it is none. */
export function parseInt_(text: string, base: number): Int | undefined {
  const match = /^([+-]?)(0[xX]_?|0[oO]_?|0[bB]_?)?([\da-zA-Z]+(?:_[\da-zA-Z]+)*)$/.exec(text);
  if (!match) return undefined;
  const [, sign, prefix, digits] = match as unknown as [string, string, string | undefined, string];
  const named = { x: 16, o: 8, b: 2 }[prefix?.[1]?.toLowerCase() ?? ""];
  if (prefix && named !== base && base !== 0) {
    // "0b1" is also a number in base 16.
    return base > 10 ? parseInt_(`${sign}${prefix.slice(1)}${digits}`, base) : undefined;
  }
  const radix = base === 0 ? (named ?? 10) : base;
  if (base === 0 && !prefix && /^0\d*[1-9]/.test(digits)) return undefined;
  let value = 0n;
  if (digits.length > MOST_BITS / 4) throw new TemplateError("an integer has too many digits");
  for (const digit of digits.replaceAll("_", "")) {
    const one = Number.parseInt(digit, 36);
    if (one >= radix) return undefined;
    value = value * BigInt(radix) + BigInt(one);
  }
  return intOf(sign === "-" ? -value : value);
}

/** Python's float() of a text, undefined where it is none. */
export function parseFloat_(text: string): number | undefined {
  const special = /^([+-]?)(?:(inf(?:inity)?)|nan)$/i.exec(text);
  if (special) return special[2] ? (special[1] === "-" ? -Infinity : Infinity) : Number.NaN;
  const digits = String.raw`\d+(?:_\d+)*`;
  const form = new RegExp(`^[+-]?(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[+-]?${digits})?$`, "i");
  return form.test(text) ? Number(text.replaceAll("_", "")) : undefined;
}
