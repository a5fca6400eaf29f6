// LevelEnv: LevelDB's view of the system, on our disk, so that every byte of the catalogue meets
// the same faults, recording and power cuts as everything else.
//
// LevelDB leaves some names unsynced: those of a new log, of the directory itself, of CURRENT after
// its rename. Here a name is durable when its file is first synced, and a rename when it returns.
// Its lock does nothing: the data directory has one.
//
// Any thread, as LevelDB asks; the disk, the background and the clock must outlive it.
#pragma once

#include <leveldb/env.h>

#include <memory>

#include "io/background.h"
#include "io/base/clock.h"
#include "io/base/result.h"
#include "io/blocking_disk.h"

namespace penstock::node {

std::unique_ptr<leveldb::Env> make_level_env(io::BlockingDisk& disk, io::Background& background,
                                             const Clock& clock);

// Our errors as LevelDB's and back: the code survives the way through the library.
leveldb::Status level_status_from_error(const Error& error);
// The status is not ok.
Error error_from_level_status(const leveldb::Status& status, const char* operation);

}  // namespace penstock::node
