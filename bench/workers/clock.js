// A module in front of a Worker (ENTRY) that moves its clock by a request's `bench-clock-ms`. `Date` is replaced before the Worker's
// module is evaluated.

let shiftMs = 0;
const RealDate = Date;

globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length === 0 ? [RealDate.now() + shiftMs] : given));
  }

  static now() {
    return RealDate.now() + shiftMs;
  }
};

const { default: worker } = await import("./ENTRY");

export default {
  fetch(request, environment, context) {
    shiftMs = Number(request.headers.get("bench-clock-ms"));
    return worker.fetch(request, environment, context);
  },
};
