// An artefact's folder for a host in C++: its manifest, its checksums and its probes. Needs zlib. See host.cpp.

#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

// A value of a JSON file. Numbers are double; of the escapes in strings, \uXXXX stands as "?".
struct Json {
    std::string text;  // of a string, or the word of a number, true, false and null
    std::vector<Json> items;
    std::map<std::string, Json> fields;

    const Json& operator[](const std::string& key) const {
        const auto found = fields.find(key);
        if (found == fields.end())
            throw std::runtime_error("manifest.json has no \"" + key + "\"; compile the artefact again");
        return found->second;
    }
    double number(const std::string& key) const { return std::strtod((*this)[key].text.c_str(), nullptr); }
    // A field that manifests of older students lack.
    double number_or(const std::string& key, double other) const { return fields.count(key) ? number(key) : other; }

    static Json parse(const std::string& text) {
        const char* at = text.c_str();
        Json whole = value(at, 0);
        if (next(at)) throw std::runtime_error("the JSON goes on after its end");
        return whole;
    }

  private:
    static char next(const char*& at) { return *(at += std::strspn(at, " \t\r\n")); }
    static bool take(const char*& at, char sign) { return next(at) == sign && ++at; }
    static void need(const char*& at, char sign) {
        if (!take(at, sign)) throw std::runtime_error(std::string("the JSON lacks a ") + sign);
    }
    static std::string string(const char*& at) {
        std::string found;
        need(at, '"');
        for (; *at && *at != '"'; ++at) {
            if (*at != '\\') { found += *at; continue; }
            const char* signs = "nrtbf", *means = "\n\r\t\b\f";
            if (!*++at) break;
            if (*at == 'u') {
                found += '?';
                for (int i = 0; i < 4 && at[1]; ++i) ++at;
            } else {
                const char* known = std::strchr(signs, *at);
                found += known ? means[known - signs] : *at;
            }
        }
        need(at, '"');
        return found;
    }
    static Json value(const char*& at, int depth) {
        if (depth > 100) throw std::runtime_error("the JSON is nested too deeply");
        Json found;
        if (next(at) == '"') found.text = string(at);
        else if (take(at, '{')) {
            while (next(at) != '}') {
                const std::string key = string(at);
                need(at, ':');
                found.fields[key] = value(at, depth + 1);
                if (!take(at, ',')) break;
            }
            need(at, '}');
        } else if (take(at, '[')) {
            while (next(at) != ']') {
                found.items.push_back(value(at, depth + 1));
                if (!take(at, ',')) break;
            }
            need(at, ']');
        } else {
            const size_t length = std::strcspn(at, " \t\r\n,]}");
            if (!length) throw std::runtime_error("the JSON ends early");
            found.text.assign(at, length);
            at += length;
        }
        return found;
    }
};

inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes(std::istreambuf_iterator<char>(file), {});
    if (!file) throw std::runtime_error(path.string() + " cannot be read");
    return bytes;
}

// SHA-256 (FIPS 180-4), as 64 hexadecimal digits. The constants are the first 32 bits of the fractional parts of the
// cube and square roots of the first primes.
inline std::string sha256(std::string bytes) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const auto turned = [](uint32_t x, int n) { return x >> n | x << (32 - n); };
    const uint64_t bits = 8 * uint64_t(bytes.size());
    bytes += char(0x80);
    bytes.resize((bytes.size() + 8 + 63) / 64 * 64);
    for (int i = 0; i < 8; ++i) bytes[bytes.size() - 1 - i] = char(bits >> 8 * i);
    for (size_t block = 0; block < bytes.size(); block += 64) {
        uint32_t w[64], s[8];
        for (int i = 0; i < 16; ++i) {
            w[i] = 0;
            for (int j = 0; j < 4; ++j) w[i] = w[i] << 8 | uint8_t(bytes[block + 4 * i + j]);
        }
        for (int i = 16; i < 64; ++i) {
            const uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + w[i - 7] +
                   (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
        }
        std::memcpy(s, h, sizeof h);
        for (int i = 0; i < 64; ++i) {
            const uint32_t one = s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)) +
                                 ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
            const uint32_t two = (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)) +
                                 ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            for (int j = 7; j > 0; --j) s[j] = s[j - 1];
            s[4] += one;
            s[0] = one + two;
        }
        for (int i = 0; i < 8; ++i) h[i] += s[i];
    }
    std::string hex;
    for (uint32_t word : h)
        for (int i = 28; i >= 0; i -= 4) hex += "0123456789abcdef"[word >> i & 15];
    return hex;
}

// The manifest of a folder whose files are those that were written: any that is changed, missing or added is an error.
inline Json open_artifact(const std::filesystem::path& folder) {
    const std::string text = read_file(folder / "manifest.json");
    if (read_file(folder / "SHA256SUMS").find(sha256(text) + "  manifest.json\n") == std::string::npos)
        throw std::runtime_error("manifest.json is not the one that was written; copy the artefact again");
    const Json manifest = Json::parse(text);
    for (const auto& [name, entry] : manifest["files"].fields)
        if (sha256(read_file(folder / name)) != entry["sha256"].text)
            throw std::runtime_error(name + " is not the file that was written; copy the artefact again");
    const std::set<std::string> others{"manifest.json", "SHA256SUMS", "SIGNATURE"};
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (!manifest["files"].fields.count(name) && !others.count(name))
            throw std::runtime_error(name + " does not belong to the artefact; remove it");
    }
    return manifest;
}

// A float32 array of probes.npz, a zip of .npy files: its numbers, without their shape. name: "inputs" or "outputs"
inline std::vector<float> read_probes(const std::string& zip, const std::string& name) {
    const auto number = [&](size_t at, int bytes) {
        uint64_t found = 0;
        for (int i = bytes - 1; i >= 0; --i) found = found << 8 | uint8_t(zip.at(at + i));
        return found;
    };
    // The directory at the end of a zip has the sizes; what stands before a file may leave them out.
    const std::string member = name + ".npy", sign = "PK\1\2";
    for (size_t at = zip.find(sign); at != std::string::npos; at = zip.find(sign, at + 4)) {
        if (number(at + 28, 2) != member.size() || zip.compare(at + 46, member.size(), member)) continue;
        const size_t packed = number(at + 20, 4), size = number(at + 24, 4), local = number(at + 42, 4);
        const size_t start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
        if (number(at + 10, 2) != 8 || start + packed > zip.size() || size < 12) break;
        std::vector<char> bytes(size);
        z_stream stream{};
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(&zip[start]));
        stream.avail_in = uInt(packed);
        stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
        stream.avail_out = uInt(size);
        const bool done = inflateInit2(&stream, -MAX_WBITS) == Z_OK && inflate(&stream, Z_FINISH) == Z_STREAM_END;
        inflateEnd(&stream);
        const size_t head = 10 + (uint8_t(bytes[8]) | size_t(uint8_t(bytes[9])) << 8);  // of .npy, version 1
        if (!done || head > size) break;
        const std::string about(bytes.data() + 10, head - 10);
        if (about.find("'<f4', 'fortran_order': False") == std::string::npos) break;
        std::vector<float> values((size - head) / sizeof(float));
        std::memcpy(values.data(), bytes.data() + head, values.size() * sizeof(float));
        return values;
    }
    throw std::runtime_error("the probes cannot be read; copy the artefact again");
}
