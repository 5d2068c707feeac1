# One image for producer, consumer, generator and every other command; the command says which.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build
# Of the optional packages, the image has the shop's. It connects to servers in other containers and needs no embedded ones.
RUN install=$(node -e "import('./dist/runtime/optional-packages.js').then(it => console.log(it.installCommand('shop')))") && \
    npm pkg delete devDependencies peerDependencies peerDependenciesMeta && npm prune && $install --no-save

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/model ./model
RUN install -d -o node -g node /var/lib/millrace
VOLUME /var/lib/millrace
USER node
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["--help"]
