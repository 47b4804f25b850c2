/** A scan that cannot be used; the message says why, and continues "the file ...". */
export class Refusal extends Error {}
