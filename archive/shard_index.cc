#include "archive/shard_index.h"
