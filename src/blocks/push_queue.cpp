// How a batch that waits is dealt out in parts.
#include "blocks/push_queue.hpp"

#include <algorithm>

#include <weft/blocks/raw.hpp>

namespace weft::blocks {

Queue::Part Queue::part(std::uint64_t records, std::uint64_t bytes,
                        const std::shared_ptr<wire::BufferPool>& pool) const {
  const wire::BatchBuilder::Batch& from = ready.front();
  Part out;
  Bytes rest = from.body.view().subspan(taken);
  const std::size_t before = rest.size();
  if (from.tensors.empty()) {
    const Bytes all = rest;
    while (out.batch.count < records && !rest.empty()) {
      const std::size_t left = rest.size();
      (void)wire::next_object(rest);
      const std::size_t size = left - rest.size();
      if (out.batch.count != 0 && out.body + size > bytes) break;
      out.body += size;
      ++out.batch.count;
    }
    out.batch.body = pool->take(out.body);
    out.batch.body.append(all.first(out.body));
    out.batch.bytes = out.body;
    return out;
  }
  wire::BatchBuilder builder(pool, std::min<std::size_t>(before, 4096));
  while (builder.count() < records && !rest.empty()) {
    const wire::BatchBuilder::Mark mark = builder.mark();
    const std::size_t left = rest.size();
    add_forwarded(builder, {wire::next_object(rest), from.tensors});
    if (mark.count != 0 && builder.bytes() > bytes) {
      builder.roll_back(mark);
      rest = from.body.view().last(left);
      break;
    }
  }
  out.body = before - rest.size();
  out.batch = builder.take();
  return out;
}

void Queue::take(const Part& part) {
  wire::BatchBuilder::Batch& from = ready.front();
  taken += part.body;
  from.count -= std::min(from.count, part.batch.count);
  from.bytes -= std::min(from.bytes, part.batch.bytes);
}

}  // namespace weft::blocks
