/** Formats of JSON Schema as patterns, some of them narrower than what the format allows, and none wider. */

const DAY = "(?:0[1-9]|1\\d|2[0-8])";
const LEAP_YEAR = "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";
const DATE = `(?:\\d{4}-(?:(?:0[1-9]|1[0-2])-${DAY}|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|${LEAP_YEAR}-02-29)`;
const TIME = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
const COUNT = "\\d{1,9}";
const DATE_PART = `(?:${COUNT}Y(?:${COUNT}M(?:${COUNT}D)?)?|${COUNT}M(?:${COUNT}D)?|${COUNT}D)`;
const TIME_PART = `T(?:${COUNT}H(?:${COUNT}M(?:${COUNT}S)?)?|${COUNT}M(?:${COUNT}S)?|${COUNT}S)`;
const LABEL = "[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,9}){0,4}";
const NAME = `${LABEL}(?:\\.${LABEL}){0,3}`;
const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
/** Of a name that is not bounded. */
const PART = "[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*";
const BYTE = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = `${BYTE}(?:\\.${BYTE}){3}`;
const H16 = "[0-9A-Fa-f]{1,4}";
const IPV6 = [
  `(?:${H16}:){7}${H16}`,
  ...Array.from({ length: 6 }, (_, i) => `(?:${H16}:){${i + 1}}(?::${H16}){1,${6 - i}}`),
  `(?:${H16}:){1,7}:`,
  `:(?::${H16}){1,7}`,
  "::",
].join("|");
const PATH_CHARACTER = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
const URI = `[A-Za-z][A-Za-z0-9+.-]*://${PART}(?:\\.${PART})*(?::\\d{1,5})?(?:/${PATH_CHARACTER}*)*(?:\\?(?:${PATH_CHARACTER}|[/?])*)?(?:#(?:${PATH_CHARACTER}|[/?])*)?`;
const HEX = "[0-9A-Fa-f]";

const PATTERNS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  "date-time": `${DATE}T${TIME}`,
  duration: `P(?:${COUNT}W|${DATE_PART}(?:${TIME_PART})?|${TIME_PART})`,
  email: `${ATOM}(?:\\.${ATOM})*@${PART}(?:\\.${PART})+`,
  hostname: NAME,
  ipv4: IPV4,
  ipv6: IPV6,
  uri: URI,
  "uri-reference": URI,
  uuid: `${HEX}{8}-${HEX}{4}-${HEX}{4}-${HEX}{4}-${HEX}{12}`,
  "json-pointer": "(?:/(?:[^~/]|~[01])*)*",
  byte: "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
};

/** Of OpenAPI, for what cannot be told from other texts and numbers. */
const WITHOUT_PATTERN = ["password", "binary", "float", "double", "int64"];

/** The names of all formats that are known. */
export const FORMATS: readonly string[] = [...Object.keys(PATTERNS), "int32", ...WITHOUT_PATTERN];

/** The pattern of a format of texts; undefined for one that asks nothing of a text. */
export function formatPattern(format: string): string | undefined {
  const pattern = Object.hasOwn(PATTERNS, format) ? PATTERNS[format] : undefined;
  return pattern && `^(?:${pattern})$`;
}
