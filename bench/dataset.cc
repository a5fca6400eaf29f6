#include "bench/dataset.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "archive/tar_writer.h"

namespace penstock::bench {
namespace {

namespace fs = std::filesystem;

Result<std::vector<std::byte>> read_file(const fs::path& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) return fail(Errc::io_error, "open " + path.string());
    std::vector<std::byte> content(static_cast<size_t>(file.tellg()));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(content.data()),
              static_cast<std::streamsize>(content.size()));
    if (!file) return fail(Errc::io_error, "read " + path.string());
    return content;
}

// Appends one member: header, content, padding.
void append_member(std::vector<std::byte>& shard, const SourceFile& file) {
    const archive::TarEntry entry{file.member, file.content.size(), 0};
    const size_t header_at = shard.size();
    shard.resize(header_at + archive::tar_header_bytes(entry));
    archive::put_tar_header(MutableBytes(shard).subspan(header_at), entry);
    shard.insert(shard.end(), file.content.begin(), file.content.end());
    shard.resize(shard.size() + archive::tar_padding_bytes(file.content.size()));
}

std::string shard_name(size_t number) {
    const std::string digits = std::to_string(number);
    return "stamps-" + std::string(6 - std::min<size_t>(6, digits.size()), '0') + digits + ".tar";
}

std::string joined(const fs::path& folder, const std::string& name) {
    return folder.empty() ? name : folder.string() + "/" + name;
}

}  // namespace

std::pair<std::string, std::string> split_stem(std::string_view base_name) {
    const size_t dot = base_name.find('.');
    const std::string_view before_dot = base_name.substr(0, dot);
    const std::string_view extension =
        dot == std::string_view::npos ? std::string_view() : base_name.substr(dot + 1);
    // The source's own convention: spoken captions are STEM_desc.ogg and STEM_desc_LANGUAGE.ogg.
    const size_t described = before_dot.find("_desc");
    if (described == std::string_view::npos) {
        return {std::string(before_dot), std::string(extension)};
    }
    return {std::string(before_dot.substr(0, described)),
            std::string(before_dot.substr(described + 1)) + "." + std::string(extension)};
}

Result<Dataset> load_dataset(const std::string& directory) {
    std::vector<fs::path> paths;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(directory, error), end; entry != end;
         entry.increment(error)) {
        if (entry->is_regular_file()) paths.push_back(entry->path());
    }
    if (error || paths.empty()) return fail(Errc::not_found, "no files in " + directory);
    std::sort(paths.begin(), paths.end());

    Dataset dataset;
    std::map<std::string, Sample> samples;
    for (const fs::path& path : paths) {
        TRY(std::vector<std::byte> content, read_file(path));
        const fs::path relative = path.lexically_relative(directory);
        const auto [stem, extension] = split_stem(relative.filename().string());
        const std::string key = joined(relative.parent_path(), stem);
        Sample& sample = samples[key];
        sample.key = key;
        sample.files.push_back(static_cast<uint32_t>(dataset.files.size()));
        dataset.content_bytes += content.size();
        dataset.files.push_back({relative.string(), key + "." + extension, std::move(content)});
    }
    for (auto& [key, sample] : samples) dataset.samples.push_back(std::move(sample));
    return dataset;
}

void pack_shards(Dataset& dataset, uint64_t shard_bytes) {
    std::vector<std::byte> content;
    const auto close_shard = [&] {
        content.resize(content.size() + archive::tar_end_bytes);
        dataset.shards.push_back({shard_name(dataset.shards.size()), std::move(content)});
        content.clear();
    };
    for (Sample& sample : dataset.samples) {
        if (content.size() >= shard_bytes) close_shard();
        sample.shard = static_cast<uint32_t>(dataset.shards.size());
        for (const uint32_t position : sample.files) {
            append_member(content, dataset.files[position]);
        }
    }
    if (!content.empty()) close_shard();
}

}  // namespace penstock::bench
