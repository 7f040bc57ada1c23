/**
 * Checks a value of a JSON file of ours; returns what is wrong with it, or undefined. Every command reads such a file at
 * its start, and zod takes a tenth of a second to load.
 */
export type Shape = (value: unknown, at: string) => string | undefined;

const ofType =
  (type: 'string' | 'number' | 'boolean', name: string): Shape =>
  (value, at) =>
    typeof value === type ? undefined : `${at} is not ${name}`;

export const text = ofType('string', 'a text');
export const number = ofType('number', 'a number');
export const boolean = ofType('boolean', 'true or false');

export const oneOf =
  (...values: readonly string[]): Shape =>
  (value, at) =>
    values.some((one) => one === value) ? undefined : `${at} is not one of: ${values.join(', ')}`;

export const optional =
  (shape: Shape): Shape =>
  (value, at) =>
    value === undefined ? undefined : shape(value, at);

export const listOf =
  (shape: Shape): Shape =>
  (value, at) => {
    if (!Array.isArray(value)) return `${at} is not a list`;
    return value.map((one, index) => shape(one, `${at}[${index}]`)).find((wrong) => wrong !== undefined);
  };

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields of any names, each with a value of one shape. */
export const mapOf =
  (shape: Shape): Shape =>
  (value, at) => {
    if (!isMap(value)) return `${at} has no fields`;
    const wrong = Object.entries(value).map(([name, one]) => shape(one, `${at}.${name}`));
    return wrong.find((one) => one !== undefined);
  };

/** The fields of these names; others are left alone. */
export const fields =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value, at) => {
    if (!isMap(value)) return `${at} has no fields`;
    const wrong = Object.entries(shapes).map(([name, shape]) => shape(value[name], `${at}.${name}`));
    return wrong.find((one) => one !== undefined);
  };

/** One of several sets of fields, chosen by the field `kind`. */
export const byKind =
  (kinds: Readonly<Record<string, Readonly<Record<string, Shape>>>>): Shape =>
  (value, at) => {
    const wrong = fields({ kind: oneOf(...Object.keys(kinds)) })(value, at);
    return wrong ?? fields(kinds[(value as { readonly kind: string }).kind] ?? {})(value, at);
  };
