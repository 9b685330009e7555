// What the test policies in C++ do: a request's attribute "Do" is a script, a command to each part
// between semicolons, and what came of the commands is the reason of a failure.
#pragma once
#include "test.h"

#include <certpol.h>

#include <cstdlib>
#include <sstream>
#include <vector>

// The server's object, however it is called.
class Server {
public:
    virtual ~Server() = default;
    virtual HRESULT context(LONG to) = 0;
    virtual HRESULT get(bool certificate, BSTR name, LONG type, VARIANT *out) = 0;
    virtual HRESULT set(BSTR name, LONG type, VARIANT *value) = 0;
    virtual HRESULT extension(BSTR oid, LONG type, VARIANT *out, LONG *flags) = 0;
    virtual HRESULT extend(BSTR oid, LONG type, LONG flags, VARIANT *value) = 0;
    virtual HRESULT attribute(BSTR name, BSTR *out) = 0;
    virtual std::string list(bool extensions) = 0;
    // What the call that failed last says about it.
    virtual std::string why() = 0;
};

// What a script comes to.
struct End {
    HRESULT hr = E_ABORT;
    LONG disposition = VR_INSTANT_OK;
    std::string words;
};

// A value of a type: bstr, bytes (hexadecimal), i4, i2, date (days), r8, bool, null, empty.
inline VARIANT value_of(const std::string &type, const std::string &text)
{
    VARIANT out;
    VariantInit(&out);
    if (type == "bstr") {
        std::u16string wide_text = wide(text);
        for (auto &it : wide_text) {
            it = it == u'|' ? u'\n' : it;
        }
        V_VT(&out) = VT_BSTR;
        V_BSTR(&out) = SysAllocString(wide_text.c_str());
    } else if (type == "bytes") {
        std::string bytes;
        for (size_t i = 0; i + 1 < text.size(); i += 2) {
            bytes += static_cast<char>(strtol(text.substr(i, 2).c_str(), nullptr, 16));
        }
        V_VT(&out) = VT_BSTR;
        V_BSTR(&out) = SysAllocStringByteLen(bytes.data(), static_cast<UINT>(bytes.size()));
    } else if (type == "i4") {
        V_VT(&out) = VT_I4;
        V_I4(&out) = atoi(text.c_str());
    } else if (type == "i2") {
        V_VT(&out) = VT_I2;
        V_I2(&out) = static_cast<SHORT>(atoi(text.c_str()));
    } else if (type == "date") {
        V_VT(&out) = VT_DATE;
        V_DATE(&out) = strtod(text.c_str(), nullptr);
    } else if (type == "r8") {
        V_VT(&out) = VT_R8;
        V_R8(&out) = strtod(text.c_str(), nullptr);
    } else if (type == "bool") {
        V_VT(&out) = VT_BOOL;
        V_BOOL(&out) = VARIANT_TRUE;
    } else if (type == "null") {
        V_VT(&out) = VT_NULL;
    }
    return out;
}

// Runs the script of the request.
inline End run(Server &server, bool is_new)
{
    Text name{"Do"}, script;
    End end;
    if (FAILED(server.attribute(name.raw, &script.raw))) {
        end.hr = S_OK;
        return end;
    }
    std::stringstream commands{script.str()};
    std::string line;
    while (std::getline(commands, line, ';')) {
        std::stringstream words{line};
        std::string command, type, vt, flags, what, rest;
        words >> command;
        auto value = [&] {
            std::getline(words >> std::ws, rest);
            return value_of(vt, rest);
        };
        std::string out;
        VARIANT it;
        VariantInit(&it);
        if (command == "get" || command == "request") {
            words >> type >> what;
            Text asked{what};
            LONG kind = atoi(type.c_str());
            HRESULT hr = server.get(command == "get", asked.raw, kind, &it);
            out = FAILED(hr) ? hex(hr) : shown(it, kind == PROPTYPE_BINARY);
        } else if (command == "set") {
            words >> type >> vt >> what;
            Text asked{what};
            it = value();
            out = hex(server.set(asked.raw, atoi(type.c_str()), &it));
        } else if (command == "extend") {
            words >> type >> vt >> flags >> what;
            Text asked{what};
            it = value();
            LONG bits = static_cast<LONG>(strtoul(flags.c_str(), nullptr, 16));
            out = hex(server.extend(asked.raw, atoi(type.c_str()), bits, &it));
        } else if (command == "extension") {
            words >> type >> what;
            Text asked{what};
            LONG kind = atoi(type.c_str()), bits = 0;
            HRESULT hr = server.extension(asked.raw, kind, &it, &bits);
            out = FAILED(hr) ? hex(hr)
                             : shown(it, kind == PROPTYPE_BINARY) + " flags "
                                   + hex(static_cast<HRESULT>(bits));
        } else if (command == "list") {
            out = server.list(true);
        } else if (command == "attributes") {
            out = server.list(false);
        } else if (command == "why") {
            out = server.why();
        } else if (command == "new") {
            out = is_new ? "new" : "old";
        } else if (command == "context") {
            words >> what;
            out = hex(server.context(atoi(what.c_str())));
        } else if (command == "disposition") {
            words >> what;
            end.hr = S_OK;
            end.disposition = static_cast<LONG>(strtoll(what.c_str(), nullptr, 0));
        } else if (command == "fail") {
            words >> what;
            end.hr = static_cast<HRESULT>(strtoul(what.c_str(), nullptr, 16));
        } else if (command == "say") {
            end.words.clear();
            std::getline(words >> std::ws, end.words);
        } else if (command == "crash") {
            *static_cast<volatile int *>(nullptr) = 1;
        }
        VariantClear(&it);
        if (!out.empty()) {
            end.words += end.words.empty() ? out : "; " + out;
        }
    }
    return end;
}
