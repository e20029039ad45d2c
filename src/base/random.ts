/**
 * A random number generator whose whole state is two numbers, so that it fits a snapshot: number `counter` of stream
 * `seed` is a hash of both. see: SplitMix64 (Steele, Lea, Flood 2014)
 */
export interface Random {
  /** Stream, 0 to 2^53 − 1. */
  seed: number;
  /** Numbers drawn so far. */
  counter: number;
}

/** The next number of the stream, in [0, 1). */
export function draw(random: Random): number {
  random.counter++;
  let z = BigInt.asUintN(64, mix(BigInt(random.seed)) + BigInt(random.counter) * 0x9e3779b97f4a7c15n);
  z = mix(z);
  return Number(z >> 11n) / 2 ** 53;
}

function mix(value: bigint): bigint {
  let z = BigInt.asUintN(64, (value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** A random seed, 0 to 2^53 − 1. */
export function drawSeed(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] as number) >>> 0;
}
