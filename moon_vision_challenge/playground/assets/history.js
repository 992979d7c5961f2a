// The tries that this browser keeps. Without IndexedDB, as in some private windows, they last as long as the page.

const KEPT = 50;
const STORE = "tries";

const opened = open();

function open() {
  return new Promise((resolve) => {
    const request = indexedDB.open("moonvision", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
    request.onblocked = () => resolve(null);
  }).catch(() => null);
}

/** Runs one operation on the store. Undefined if there is none, or if it fails: the page works without it. */
async function run(mode, operation) {
  const database = await opened;
  if (!database) return undefined;
  return new Promise((resolve) => {
    try {
      const transaction = database.transaction(STORE, mode);
      const request = operation(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => resolve(undefined); // for example, the disk is full
    } catch {
      resolve(undefined);
    }
  });
}

/** The kept tries, oldest first. Those above the limit are deleted. */
export async function load() {
  const all = (await run("readonly", (store) => store.getAll())) ?? [];
  const surplus = all.slice(0, Math.max(0, all.length - KEPT));
  for (const one of surplus) await remove(one.id);
  return all.slice(surplus.length);
}

export function save(one) {
  return run("readwrite", (store) => store.put(one));
}

export function remove(id) {
  return run("readwrite", (store) => store.delete(id));
}

export function removeAll() {
  return run("readwrite", (store) => store.clear());
}
