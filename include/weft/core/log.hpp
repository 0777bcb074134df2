// Logger: where a part of Weft says what a person may want to know. Passed down from main, never global.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace weft {

enum class LogLevel { debug, info, warn, error, off };

/// "debug", "info", "warn", "error" or "off"; throws Error{invalid_argument} otherwise.
LogLevel parse_log_level(std::string_view text);

/// A handle that copies cheaply and may be used from any thread. A default-made Logger is silent.
class Logger {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void write(LogLevel level, std::string_view name, std::string_view message) = 0;
  };

  Logger() = default;
  Logger(std::shared_ptr<Sink> sink, std::string name, LogLevel threshold)
      : sink_(std::move(sink)), name_(std::move(name)), threshold_(threshold) {}

  enum class Colours { automatic, never };
  /// Lines on stderr with time, level and name. `automatic`: coloured on a terminal that knows colours.
  static Logger to_stderr(std::string name, LogLevel threshold = LogLevel::info,
                          Colours colours = Colours::automatic);
  /// The same sink under another name.
  [[nodiscard]] Logger named(std::string name) const { return {sink_, std::move(name), threshold_}; }

  [[nodiscard]] bool enabled(LogLevel level) const { return sink_ && level >= threshold_; }
  void log(LogLevel level, std::string_view message) const {
    if (enabled(level)) sink_->write(level, name_, message);
  }
  void debug(std::string_view message) const { log(LogLevel::debug, message); }
  void info(std::string_view message) const { log(LogLevel::info, message); }
  void warn(std::string_view message) const { log(LogLevel::warn, message); }
  void error(std::string_view message) const { log(LogLevel::error, message); }

 private:
  std::shared_ptr<Sink> sink_;
  std::string name_;
  LogLevel threshold_ = LogLevel::info;
};

}  // namespace weft
