// Access: the bits of a bucket's access property (contract, section 19.5) that the service asks
// for. Changing a bucket's properties is not asked of it: nobody could open a bucket again that was
// made read-only.
#pragma once

#include <cstdint>

namespace penstock::node::access {

constexpr uint64_t get = 1;
constexpr uint64_t head_object = 2;
constexpr uint64_t put = 4;
constexpr uint64_t append = 8;
constexpr uint64_t delete_object = 16;
constexpr uint64_t move_object = 32;
constexpr uint64_t promote = 64;
constexpr uint64_t update_object = 128;
constexpr uint64_t list_objects = 512;
constexpr uint64_t destroy_bucket = 32768;
constexpr uint64_t move_bucket = 65536;

}  // namespace penstock::node::access
