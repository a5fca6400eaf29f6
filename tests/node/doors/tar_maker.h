// Small TAR files for tests, written by hand so that no code under test writes them.
#pragma once

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace penstock::node::testing {

inline std::string make_tar(const std::vector<std::pair<std::string, std::string>>& members) {
    constexpr size_t block = 512;
    std::string tar;
    for (const auto& [name, content] : members) {
        std::string header(block, '\0');
        std::memcpy(header.data(), name.data(), name.size());
        std::snprintf(header.data() + 100, 8, "%07o", 0644);
        std::snprintf(header.data() + 124, 12, "%011zo", content.size());
        std::snprintf(header.data() + 136, 12, "%011o", 0);
        std::memcpy(header.data() + 148, "        ", 8);
        header[156] = '0';
        std::memcpy(header.data() + 257, "ustar\00000", 8);
        unsigned sum = 0;
        for (const char letter : header) sum += static_cast<unsigned char>(letter);
        std::snprintf(header.data() + 148, 8, "%06o", sum);
        tar += header + content;
        tar.resize((tar.size() + block - 1) / block * block, '\0');
    }
    return tar + std::string(2 * block, '\0');
}

}  // namespace penstock::node::testing
