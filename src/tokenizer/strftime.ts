const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const DAY = 86_400_000;

/** Directives that abbreviate others. */
const SHORT: Record<string, string> = {
  c: "%a %b %e %H:%M:%S %Y",
  x: "%m/%d/%y",
  X: "%H:%M:%S",
  D: "%m/%d/%y",
  F: "%Y-%m-%d",
  R: "%H:%M",
  T: "%H:%M:%S",
  r: "%I:%M:%S %p",
  h: "%b",
};

/**
 * Python's strftime in the C locale and local time, with the flags of the GNU C library (`%-d`): English on every
 * machine. Unknown directives are kept.
 */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-_0^#]?)(.)/gs, (whole, flag: string, letter: string) => {
    const short = SHORT[letter];
    const value = short === undefined ? field(date, letter) : strftime(date, short);
    if (value === undefined) return whole;
    if (typeof value === "string") return flag === "^" ? value.toUpperCase() : value;
    const [number, width, filler] = value;
    if (flag === "-") return String(number);
    return String(number).padStart(width, flag === "_" ? " " : flag === "0" ? "0" : filler);
  });
}

/** A number with its width and padding, or a text. */
function field(date: Date, letter: string): readonly [number, number, string] | string | undefined {
  const year = date.getFullYear();
  const weekday = date.getDay();
  const dayOfYear = Math.round((Date.UTC(year, date.getMonth(), date.getDate()) - Date.UTC(year, 0, 1)) / DAY);
  const numbers: Record<string, readonly [number, number, string?]> = {
    Y: [year, 1],
    C: [Math.floor(year / 100), 2],
    y: [year % 100, 2],
    m: [date.getMonth() + 1, 2],
    d: [date.getDate(), 2],
    e: [date.getDate(), 2, " "],
    j: [dayOfYear + 1, 3],
    H: [date.getHours(), 2],
    k: [date.getHours(), 2, " "],
    I: [date.getHours() % 12 || 12, 2],
    l: [date.getHours() % 12 || 12, 2, " "],
    M: [date.getMinutes(), 2],
    S: [date.getSeconds(), 2],
    f: [date.getMilliseconds() * 1000, 6],
    s: [Math.floor(date.getTime() / 1000), 1],
    w: [weekday, 1],
    u: [weekday || 7, 1],
    U: [Math.floor((dayOfYear + 7 - weekday) / 7), 2],
    W: [Math.floor((dayOfYear + 7 - ((weekday + 6) % 7)) / 7), 2],
    V: [isoWeek(date).week, 2],
    G: [isoWeek(date).year, 1],
    g: [isoWeek(date).year % 100, 2],
  };
  const number = numbers[letter];
  if (number) return [number[0], number[1], number[2] ?? "0"];
  const texts: Record<string, string> = {
    A: DAYS[weekday]!,
    a: DAYS[weekday]!.slice(0, 3),
    B: MONTHS[date.getMonth()]!,
    b: MONTHS[date.getMonth()]!.slice(0, 3),
    p: date.getHours() < 12 ? "AM" : "PM",
    P: date.getHours() < 12 ? "am" : "pm",
    // Python's now() has no time zone.
    z: "",
    Z: "",
    n: "\n",
    t: "\t",
    "%": "%",
  };
  return texts[letter];
}

/** The week that contains this day's Thursday, from 1, and that Thursday's year (ISO 8601). */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7)));
  const year = thursday.getUTCFullYear();
  return { year, week: Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY / 7) + 1 };
}
