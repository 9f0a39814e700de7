"""What is wrong with a field of a request, and what is allowed there."""
# ruff: noqa: RUF001 - full-width punctuation is what Chinese is written with

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FIELDS: Final[Mapping[str, str]] = {
    # what is wrong
    "A value is required here.": "此处必须有值。",
    "At least one owner is required.": "至少需要一个负责人。",
    "At most {} can be kept.": "最多只能保存 {} 个。",
    "Has characters or a shape that the backend refuses.": "含有后端不接受的字符，或格式不被后端接受。",
    "Is given more than once.": "给出了不止一次。",
    "Is longer than {} bytes in UTF-8.": "以 UTF-8 编码后超过 {} 字节。",
    "Is longer than {} characters.": "超过 {} 个字符。",
    "Is no token of this list.": "不是此列表的分页令牌。",
    "Is no token of this list; tokens are bound to the filter.": (
        "不是此列表的分页令牌；分页令牌只适用于原来的筛选条件。"
    ),
    "Is none of the allowed values.": "不是允许的值。",
    "Is not an id of this backend.": "不是此后端的 ID。",
    "Is of the wrong type.": "类型错误。",
    "Is required.": "必须提供。",
    "Is there already.": "与前面的重复。",
    "Must be at most {}.": "不能大于 {}。",
    "Must be from 0 to {}.": "必须在 0 到 {} 之间。",
    "Must be from 1 to {}.": "必须在 1 到 {} 之间。",
    "Must be of type {}.": "类型必须是 {}。",
    "Must not be empty.": "不能为空。",
    "Must not be null.": "不能为 null。",
    "No connection has this name; see /backends.": "没有此名称的连接；见 /backends。",
    "The backend cannot keep this field.": "后端无法保存此字段。",
    "The field is fixed once the module exists.": "模块创建后，此字段即固定不变。",
    "The ids are longer than {} bytes together.": "所有 ID 合计超过 {} 字节。",
    "The module has no owner to keep.": "模块没有可以保留的负责人。",
    "There is no such field.": "没有此字段。",
    # what is allowed
    '1 to 256 bytes without white space, control characters and \\ | / : * , < > " ? #': (
        '1 至 256 字节，不含空白字符、控制字符和 \\ | / : * , < > " ? #'
    ),
    "1 to 30 letters, digits, Chinese characters (U+4E00 to U+9FA5), - and _": (
        "1 至 30 个字母、数字、汉字（U+4E00 至 U+9FA5）、- 和 _"
    ),
    "32 digits and lower-case letters": "32 个数字和小写字母",
    "32 letters and digits": "32 个字母和数字",
    "a positive integer, in digits": "正整数，以数字书写",
    "an enum id such as 1 or 2": "枚举 ID，如 1 或 2",
    "letters, digits and @ . _ -, a letter or digit first": "字母、数字和 @ . _ -，以字母或数字开头",
    "user names joined by commas, no spaces: letters, digits and @ . _ -, a letter or digit first": (
        "以英文逗号连接的用户名，不含空格：字母、数字和 @ . _ -，以字母或数字开头"
    ),
}
