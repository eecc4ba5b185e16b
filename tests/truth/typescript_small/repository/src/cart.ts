import { Item } from "./item";

export interface Priced {
  price(): number;
}

export class Cart implements Priced {
  private items: Item[] = [];

  constructor(readonly owner: string) {}

  add(item: Item): this {
    this.items.push(item);
    return this;
  }

  price(): number {
    return sum(this.items.map((item) => item.price()));
  }
}

export function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

export const double = (value: number): number => value * 2;
