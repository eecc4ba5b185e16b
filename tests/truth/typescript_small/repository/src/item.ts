export class Item {
  constructor(private readonly cents: number) {}

  price(): number {
    return this.cents / 100;
  }
}

export abstract class Gift extends Item {
  abstract wrap(): void;
}
