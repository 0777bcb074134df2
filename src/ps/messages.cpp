#include <weft/ps/messages.hpp>

namespace weft::ps {

std::string_view to_string(Op op) {
  switch (op) {
    case Op::join:
      return "join";
    case Op::pull:
      return "pull";
    case Op::push:
      return "push";
    case Op::push_pull:
      return "push_pull";
    case Op::assign:
      return "assign";
    case Op::clock:
      return "clock";
    case Op::barrier:
      return "barrier";
    case Op::stats:
      return "stats";
    case Op::finish:
      return "finish";
    case Op::leave:
      return "leave";
  }
  return "unknown";
}

std::string_view to_string(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::bad_request:
      return "bad_request";
    case Status::unknown_table:
      return "unknown_table";
    case Status::not_joined:
      return "not_joined";
    case Status::fenced:
      return "fenced";
    case Status::finished:
      return "finished";
    case Status::unreachable:
      return "unreachable";
    case Status::unusable:
      return "unusable";
    case Status::full:
      return "full";
  }
  return "unknown";
}

}  // namespace weft::ps
