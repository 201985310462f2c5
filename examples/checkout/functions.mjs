// The same as functions.py, in plain ioredis.
import Redis from "ioredis";

export async function reserve(url, order) {
  const db = new Redis(url);
  try {
    if (!(await db.exists(`reserved:${order.id}`))) {
      const left = Number(await db.get(`stock:${order.item}`));
      if (left < order.count) return "out of stock";
      await db.decrby(`stock:${order.item}`, order.count);
      await db.set(`reserved:${order.id}`, order.count);
    }
    return "reserved";
  } finally {
    db.disconnect();
  }
}

export async function charge(url, order) {
  const db = new Redis(url);
  try {
    if (!(await db.exists(`paid:${order.id}`))) {
      await db.decrby(`account:${order.customer}`, order.price);
      await db.set(`paid:${order.id}`, order.price);
    }
    return "paid";
  } finally {
    db.disconnect();
  }
}

export async function write(url, order) {
  const db = new Redis(url);
  try {
    if (!(await db.exists(`order:${order.id}`))) {
      await db.incrby(`sold:${order.item}`, order.count);
      await db.set(`order:${order.id}`, JSON.stringify(order));
    }
    return { accepted: order.id, balance: Number(await db.get(`account:${order.customer}`)) };
  } finally {
    db.disconnect();
  }
}

// Which parts of these orders are there.
export async function look(url, orders) {
  const db = new Redis(url);
  try {
    const seen = [];
    for (const order of orders) {
      const parts = [];
      for (const part of ["reserved", "paid", "order"]) {
        parts.push(await db.exists(`${part}:${order}`));
      }
      seen.push(parts);
    }
    return seen;
  } finally {
    db.disconnect();
  }
}
