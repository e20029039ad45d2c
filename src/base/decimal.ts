/** The shortest decimal that is this f32: what was written before it was rounded, such as 1e-6. */
export function shortest(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Object.is(Math.fround(decimal), value)) return decimal;
  }
  return value;
}
