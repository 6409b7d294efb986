"""Generated conversations to search in, in English and Chinese: turns of question, tool call, result, answer.

Nothing is taken from anywhere. Words follow Zipf's law: the first of `ENGLISH` and `CHINESE` are in every second
sentence, and the long tail of names (made of syllables, tens of thousands of them) each in a few events. The same seed
gives the same text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate

from session_sqlite import Event, ToolCall

ENGLISH = """
the to and of a in is it that for you this with on be as are not can we if from or have an will use but by when file
test error what at which all then now should there code run line function so first no build after does your more other
value was only has time data same before because into any see package fails list how why model case call without step
name need check two result type set version one add server read write also still session start each return server
change memory message number request user works output input path key find last look table empty index wait problem
between loop event class query default search branch commit module thread point order channel close open state cache
second again where every new string database think both reads about writes process while given small through long
happens while connection must right instead method line than fix limit order old order main size these page local
question answer config patch object field wrong slow fast timeout missing directory import environment variable
""".split()  # noqa: SIM905  # words, as one reads them
RARE_ENGLISH = ("quokka", "zeppelin")  # in one text of 2,000
MEDIUM_ENGLISH = ("tokenizer", "rollback")  # in one text of 200
CHINESE = """
的 是 在 我 了 不 这个 一 你 有 和 就 可以 代码 问题 我们 要 这 会 也 到 说 文件 如果 需要 没有 看 一个 用 对 错误 函数
测试 请 把 里 还 什么 怎么 都 后 先 再 然后 因为 所以 但是 运行 数据 结果 时候 已经 现在 方法 检查 模型 第一 程序 修改
服务器 请求 返回 使用 内容 消息 用户 会话 时间 版本 更新 列表 字段 参数 类型 接口 配置 环境 变量 读取 写入 数据库
查询 索引
线程 进程 缓存 连接 关闭 打开 目录 路径 名称 功能 处理 解决 分析 说明 建议 步骤 分支 提交 合并 删除 添加 重新 开始 结束
输入 输出 日志 失败 成功 可能 应该 必须 通过 之前 之后 其他 所有 每次 系统 项目 模块 依赖 安装 部署 本地 远程 网络 超时
内存 性能 优化 速度 大小 数量 顺序 状态 事件 任务 调用 工具 执行 等待 循环 条件 判断 字符串 数组 对象 属性 实例 继承
测量
""".split()  # noqa: SIM905
MEDIUM_CHINESE = ("回滚", "分词")  # in one text of 200
RARE_CHINESE = ("袋鼠",)  # in one text of 2,000
_SYLLABLES = "ba ko ri ten so mar vi do lun pe ra gi tor el mi ca".split()  # noqa: SIM905
_HAN = [bytes((row, cell)).decode("gb2312") for row in range(0xB0, 0xD7) for cell in range(0xA1, 0xFF)]  # the common

PHRASE = "closed channel"  # in one text of 100, and its words in many more
CHINESE_PHRASE = "分析代码"  # in one text of 100


class Generator:
    """Makes events from a seed."""

    def __init__(self, seed: int = 3) -> None:
        self._random = random.Random(seed)
        names = [f"{a}{b}{c}{d}" for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES for d in ("", "n")]
        self._random.shuffle(names)
        people = ["".join(self._random.choices(_HAN, k=2)) for _ in range(4_000)]
        self._english = [*ENGLISH, *names]
        self._chinese = [*CHINESE, *people]
        self._weights = {
            "en": list(accumulate(1 / (rank + 2.7) for rank in range(len(self._english)))),
            "zh": list(accumulate(1 / (rank + 2.7) for rank in range(len(self._chinese)))),
        }

    def _marked(self, words: list[str], rare: tuple[str, ...], medium: tuple[str, ...], phrase: str) -> None:
        """Puts in the words whose number is known."""
        for chosen, share in ((rare, 2_000), (medium, 200), ((phrase,), 100)):
            for word in chosen:
                if self._random.random() * share < 1:
                    words.insert(self._random.randrange(len(words) + 1), word)

    def english(self, count: int) -> str:
        """So many words, in sentences."""
        words = self._random.choices(self._english, cum_weights=self._weights["en"], k=count)
        self._marked(words, RARE_ENGLISH, MEDIUM_ENGLISH, PHRASE)
        sentences = []
        begin = 0
        while begin < len(words):
            end = begin + self._random.randint(6, 18)
            sentences.append(" ".join(words[begin:end]).capitalize())
            begin = end
        return ". ".join(sentences) + "."

    def chinese(self, count: int) -> str:
        """So many words, in clauses with punctuation between."""
        words = self._random.choices(self._chinese, cum_weights=self._weights["zh"], k=count)
        self._marked(words, RARE_CHINESE, MEDIUM_CHINESE, CHINESE_PHRASE)
        text = []
        begin = 0
        while begin < len(words):
            end = begin + self._random.randint(4, 9)
            text.append("".join(words[begin:end]))
            text.append(self._random.choice("，，，。。、：？"))
            begin = end
        return "".join(text)

    def events(self, count: int, language: str) -> Iterator[Event]:
        """So many events, in turns of four; ``language`` is ``"en"`` or ``"zh"``."""
        say = self.english if language == "en" else self.chinese
        length = self._random.randint
        for number in range((count + 3) // 4):
            call = f"call_{self._random.randrange(16**24):024x}"
            name = self._random.choice(("read_file", "run_tests", "search_code"))
            args = {"path": f"src/{self.english(1)[:-1].lower()}.py", "line": length(1, 400)}
            turn = (
                Event("user", say(length(8, 40))),
                Event("assistant", actions=(ToolCall(name, args, id=call),), reasoning=say(length(5, 20))),
                Event("tool", self.english(length(20, 120)), actions=(ToolCall(name, id=call),)),
                Event("assistant", say(length(40, 160))),
            )
            yield from turn[: count - 4 * number]
