// What the journal's tests share: a folder that goes away, and content as a plain map.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <stdlib.h>
#include <unistd.h>

#include <weft/journal/journal.hpp>
#include <weft/journal/store.hpp>

namespace weft::journal::testing {

class Folder {
 public:
  explicit Folder(const std::string& in = std::filesystem::temp_directory_path().string()) {
    path_ = in + "/weft-journal-XXXXXX";
    if (!::mkdtemp(path_.data())) throw std::runtime_error("no temporary folder in " + in);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// space/key -> value
using Content = std::map<std::string, std::string>;

template <class Any>
Content content_of(const Any& journal) {
  Content out;
  for (const std::string& space : journal.spaces()) {
    journal.for_each_from(space, {}, [&](Bytes key, Bytes value) {
      out[space + "/" + std::string(as_text(key))] = as_text(value);
      return true;
    });
  }
  return out;
}

inline Deadline soon() {
  return Deadline::after(std::chrono::seconds(30));
}

/// One put, submitted and flushed.
inline Store::Flush put(Store& store, const std::string& space, const std::string& key,
                        const std::string& value) {
  JournalTxn changes;
  changes.put(space, as_bytes(key), as_bytes(value));
  if (store.submit(changes) != CommitStatus::ok) return Store::Flush::failed;
  return store.flush();
}

inline Store::Flush erase(Store& store, const std::string& space, const std::string& key) {
  JournalTxn changes;
  changes.erase(space, as_bytes(key));
  if (store.submit(changes) != CommitStatus::ok) return Store::Flush::failed;
  return store.flush();
}

}  // namespace weft::journal::testing
