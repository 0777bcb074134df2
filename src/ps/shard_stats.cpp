#include <weft/ps/shard_stats.hpp>

namespace weft::ps {

Value ShardStats::to_value() const {
  Value value;
  value["shard"] = shard;
  value["pulls"] = pulls;
  value["pushes"] = pushes;
  value["assigns"] = assigns;
  value["duplicates"] = duplicates;
  value["refused"] = refused;
  value["late_pushes"] = late_pushes;
  value["discarded_pushes"] = discarded_pushes;
  value["waited"] = waited;
  value["parked"] = parked;
  value["most_parked"] = most_parked;
  value["min_clock"] = min_clock;
  value["max_clock"] = max_clock;
  value["max_gap"] = max_gap;
  value["barrier"] = barrier;
  value["workers_running"] = workers_running;
  value["workers_expected"] = workers_expected;
  value["workers_finished"] = workers_finished;
  value["workers_dead"] = workers_dead;
  Value& list = value["tables"] = Value::list();
  for (const TableStats& table : tables) {
    Value entry;
    entry["name"] = table.name;
    entry["rows"] = table.rows;
    entry["bytes"] = table.bytes;
    entry["updates"] = table.updates;
    entry["keys_pulled"] = table.keys_pulled;
    entry["keys_pushed"] = table.keys_pushed;
    entry["max_gap"] = table.max_gap;
    list.push_back(std::move(entry));
  }
  return value;
}

}  // namespace weft::ps
