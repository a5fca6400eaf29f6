// Processor time of the server that is loaded, as far as somebody tells it: its process on this
// host, or its /metrics.
#pragma once

#include <optional>

#include "bench/load/connection.h"

namespace penstock::bench {

class ServerCpu {
public:
    // `--server-pid`; else the process behind a Unix socket; else `process_cpu_seconds_total` in
    // http://H:P/metrics. `options` and `address` must outlive it.
    ServerCpu(const Options& options, const ServerAddress& address);
    // Since its start, user and system, children that live included; nullopt: nobody says.
    std::optional<double> seconds() const;

private:
    std::optional<double> seconds_by_metrics() const;

    const Options& options_;
    const ServerAddress& address_;
    int pid_ = 0;
};

}  // namespace penstock::bench
