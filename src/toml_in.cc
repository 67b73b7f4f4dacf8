/* SPDX-License-Identifier: MIT */
/* The one C++ file: from toml++'s values to jansson's. Debian 12 has no C library for TOML.
 * No exception leaves it. Messages read "FILE:LINE: what". */
#include "toml_in.h"

#include "error.h"

#include <cmath>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>

#include <toml++/toml.h>

namespace
{

constexpr gsize file_max_bytes = 1024 * 1024;

struct Reader {
    const char *file;
    GError **error;
};

json_t *convert(const Reader &reader, const toml::node &node);

std::nullptr_t fail(const Reader &reader, const toml::source_region &where,
                    const std::string &what)
{
    g_autofree char *line = g_strdelimit(g_strdup(what.c_str()), "\n\r\t", ' ');
    g_autofree char *valid = g_utf8_make_valid(line, -1);
    g_set_error(reader.error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%u: %s", reader.file,
                static_cast<unsigned>(where.begin.line), valid);
    return nullptr;
}

json_t *date(const toml::node &node)
{
    std::ostringstream text;
    node.visit([&text](const auto &value) {
        if constexpr (toml::is_date<decltype(value)> || toml::is_time<decltype(value)> ||
                      toml::is_date_time<decltype(value)>)
            text << value.get();
    });
    return json_string(text.str().c_str());
}

json_t *scalar(const Reader &reader, const toml::node &node)
{
    if (const auto *text = node.as_string())
        return json_stringn(text->get().data(), text->get().size());
    if (const auto *integer = node.as_integer())
        return json_integer(integer->get());
    if (const auto *flag = node.as_boolean())
        return json_boolean(flag->get());
    const auto *real = node.as_floating_point();
    if (real == nullptr)
        return date(node);
    return std::isfinite(real->get()) ? json_real(real->get())
                                      : fail(reader, node.source(), "must be a finite number");
}

json_t *array(const Reader &reader, const toml::array &items)
{
    g_autoptr(json_t) result = json_array();
    for (const toml::node &item : items) {
        json_t *value = convert(reader, item);
        if (value == nullptr || json_array_append_new(result, value) != 0)
            return nullptr;
    }
    return json_incref(result);
}

json_t *table(const Reader &reader, const toml::table &members)
{
    g_autoptr(json_t) result = json_object();
    for (const auto &[key, node] : members) {
        const std::string name(key.str());
        if (name.find('\0') != std::string::npos)
            return fail(reader, node.source(), "a zero byte in a key");
        json_t *value = convert(reader, node);
        if (value == nullptr || json_object_set_new(result, name.c_str(), value) != 0)
            return nullptr;
    }
    return json_incref(result);
}

/* toml++ itself limits the depth (TOML_MAX_NESTED_VALUES). */
json_t *convert(const Reader &reader, const toml::node &node)
{
    if (const auto *members = node.as_table())
        return table(reader, *members);
    if (const auto *items = node.as_array())
        return array(reader, *items);
    return scalar(reader, node);
}

} /* namespace */

json_t *toml_in_load(const char *file, GError **error)
{
    const Reader reader = {file, error};
    gsize length = 0;
    g_autofree char *text = json_in_read_text(file, file_max_bytes, &length, error);

    if (text == nullptr)
        return nullptr;
    try {
        const toml::table root = toml::parse(std::string_view(text, length));
        return convert(reader, root);
    } catch (const toml::parse_error &failure) {
        return fail(reader, failure.source(),
                    "not valid TOML: " + std::string(failure.description()));
    } catch (const std::exception &failure) {
        return fail(reader, {}, failure.what());
    }
}
