import json

import requests
from bs4 import BeautifulSoup

COMIC = "@URL@"

answer = requests.get(COMIC, timeout=5)
answer.raise_for_status()
page = BeautifulSoup(answer.content, "html.parser")
episodes = {
    link["title"]: requests.compat.urljoin(COMIC, link["href"])
    for link in page.find_all("a", class_="episode")
}
print(json.dumps(episodes, ensure_ascii=False))
