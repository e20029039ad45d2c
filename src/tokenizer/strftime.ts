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

/** Python's strftime in the C locale and local time: English on every machine. Unknown directives stay as they are. */
export function strftime(date: Date, format: string): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const hour12 = date.getHours() % 12 || 12;
  const day = DAYS[date.getDay()]!;
  const month = MONTHS[date.getMonth()]!;
  const values: Record<string, string> = {
    "%Y": String(date.getFullYear()),
    "%y": two(date.getFullYear() % 100),
    "%m": two(date.getMonth() + 1),
    "%B": month,
    "%b": month.slice(0, 3),
    "%d": two(date.getDate()),
    "%A": day,
    "%a": day.slice(0, 3),
    "%H": two(date.getHours()),
    "%I": two(hour12),
    "%M": two(date.getMinutes()),
    "%S": two(date.getSeconds()),
    "%p": date.getHours() < 12 ? "AM" : "PM",
    "%%": "%",
  };
  return format.replace(/%./g, (directive) => values[directive] ?? directive);
}
