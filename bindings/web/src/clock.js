// The device's time, as far as a browser has one.
//
// | source | use |
// |---|---|
// | a server, signed | sets this clock, forward or back |
// | `performance.now` | measures the time since then; nobody can set it, but it may stop in sleep |
// | the wall clock | where it has gone further since: the machine slept, or somebody set it |
// | the highest time seen, stored | time is never below it, unless a server says so |
//
// A wall clock that is set back stretches nothing. One that is set forward may end a license early,
// until the next contact. Work of that time is dated when it is reported: see reports.js.

const DAY_MS = 86400000;
const LEAP_MS = 60000;

export class DeviceClock {
  constructor(stored = {}, wall = () => Date.now(), monotonic = () => performance.now()) {
    this.wall = wall;
    this.monotonic = monotonic;
    this.error = stored.error || 0;
    this.heardAt = stored.heardAt || 0;
    this.isHeard = false;
    let start = wall() - this.error;
    // Such a step back would be too far: somebody has set the wall clock right since.
    if (this.error && start < (stored.highest || 0) - DAY_MS) start = wall();
    this.anchor(Math.max(start, stored.highest || 0));
  }

  anchor(ms) {
    this.base = ms;
    this.wallThen = this.wall();
    this.monotonicThen = this.monotonic();
  }

  /** Return the time in milliseconds since 1970. */
  ms() {
    const byWall = this.wall() - this.wallThen;
    const byMonotonic = this.monotonic() - this.monotonicThen;
    return this.base + (byWall > byMonotonic ? byWall : byMonotonic);
  }

  /** Return Unix seconds. */
  seconds() {
    return Math.floor(this.ms() / 1000);
  }

  /** Follow the time in a signed answer. */
  hear(serverSeconds) {
    const ms = serverSeconds * 1000;
    this.error = Math.max(0, this.wall() - ms);
    if (this.error < 5000) this.error = 0;
    this.heardAt = serverSeconds;
    this.isHeard = true;
    this.anchor(ms);
  }

  /** Return whether the wall clock has leapt since the last look: the server should be asked. */
  hasLeapt() {
    const leap = this.wall() - this.wallThen - (this.monotonic() - this.monotonicThen);
    return Math.abs(leap) > LEAP_MS;
  }

  stored() {
    return { error: this.error, heardAt: this.heardAt, highest: this.ms() };
  }
}
