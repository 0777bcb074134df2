// Client::Slot: an operation of a client.
#pragma once

#include <cstdint>

#include <weft/ps/client.hpp>

namespace weft::ps {

/// An operation. The generation tells the replies of the present one from late ones of its predecessors.
struct Client::Slot {
  Call call;
  Kind kind = Kind::plain;
  Done done;
  bool entered = false;  ///< its servers count it as open
  std::uint64_t generation = 0;
};

}  // namespace weft::ps
